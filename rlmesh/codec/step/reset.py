"""The result of a reset as bytes, written around the slab of its observation; as protobuf has it.

Protobuf would copy a large observation three times on either side, and fresh memory is what takes
long there.
"""

from __future__ import annotations

from typing import NamedTuple

from google.protobuf.message import DecodeError

from rlmesh.codec.slab.protocols import Readable
from rlmesh.codec.step.wire import PREFIX, SEQUENCE, SEQUENCE_TAG, tag_of, varint_of
from rlmesh_api.v1 import session_pb2

__all__ = ["ReadReset", "around_reset", "read_reset"]

_RESET = tag_of(session_pb2.SessionResponse, "reset")
_OBSERVATION = tag_of(session_pb2.ResetResult, "observation")
# Of a length: more than any message has.
_MOST_VARINT_BYTES = 5


class ReadReset(NamedTuple):
    """A reset's result in its message.

    Attributes:
        start: Where the slab of the observation begins.
        nbytes: How many bytes it has.
        info: The packed info.
    """

    start: int
    nbytes: int
    info: bytes


def around_reset(sequence: int, nbytes: int, info: bytes) -> tuple[bytes, bytes]:
    """What stands before the slab of the observation in the answer to a reset, and after it.

    Args:
        sequence: The number of the call.
        nbytes: How many bytes the slab has.
        info: The packed info.
    """
    before = _OBSERVATION + varint_of(nbytes) if nbytes else b""
    after = session_pb2.ResetResult(info=info).SerializeToString()
    length = varint_of(len(before) + nbytes + len(after))
    return SEQUENCE.pack(SEQUENCE_TAG, sequence) + _RESET + length + before, after


def read_reset(buffer: Readable, start: int, end: int, sequence: int) -> ReadReset | None:
    """Reads the answer to a reset; None where protobuf must read it.

    Args:
        buffer: Where it stands.
        start: Where it begins there.
        end: Where it ends.
        sequence: The number of the call.
    """
    if end - start < PREFIX or SEQUENCE.unpack_from(buffer, start) != (SEQUENCE_TAG, sequence):
        return None
    at, length = _field(buffer, start + PREFIX, end, _RESET)
    if at + length != end:
        return None
    at, length = _field(buffer, at, end, _OBSERVATION)
    if not 0 <= at <= at + length <= end:
        return None
    try:
        rest = session_pb2.ResetResult.FromString(bytes(buffer[at + length : end]))
    except DecodeError:
        return None
    return None if rest.observation else ReadReset(at, length, rest.info)


def _field(buffer: Readable, at: int, end: int, tag: bytes) -> tuple[int, int]:
    """Where what a field holds begins, and how long it is; -1 twice where it is another field."""
    length = 0
    head = bytes(buffer[at : min(end, at + 1 + _MOST_VARINT_BYTES)])
    if head[:1] != tag:
        return -1, -1
    for place, byte in enumerate(head[1:]):
        length |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return at + 2 + place, length
    return -1, -1
