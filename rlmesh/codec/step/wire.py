"""The parts of a step's messages as bytes, and the message that asks for a step.

The messages are `SessionRequest` and `SessionResponse` in protobuf's own encoding, in the fixed
form that session.proto describes: whatever stands before a slab is as long for one step as for the
next, so `struct` writes and reads it in less time than protobuf takes to make an object. A message
in another form is as good; protobuf reads it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import lru_cache

from google.protobuf.message import Message

from rlmesh.codec.slab.protocols import Writable
from rlmesh.compiled import step as compiled
from rlmesh_api.v1 import session_pb2

__all__ = [
    "FAILURE",
    "INNER",
    "INNER_FORM",
    "MESSAGES",
    "PREFIX",
    "SEQUENCE",
    "SEQUENCE_TAG",
    "STEP",
    "STEPS",
    "STEP_MANY",
    "frame",
    "padded",
    "read_action",
    "sequence_of",
    "tag_of",
    "unpadded",
    "varint_of",
    "write_action",
    "write_sequence",
]

_LENGTH_TYPE = 2  # protobuf's wire type of a field that begins with its length
_HIGH = 0x80


def tag_of(message: type[Message], field: str) -> bytes:
    """What stands before the length of a field; one byte, as the numbers used here are small."""
    return bytes([message.DESCRIPTOR.fields_by_name[field].number << 3 | _LENGTH_TYPE])


_STEP_CALL = tag_of(session_pb2.SessionRequest, "step")
_ACTION = tag_of(session_pb2.StepCall, "action")

STEP = tag_of(session_pb2.SessionResponse, "step")
"""The tag of a step's result in an answer."""
STEP_MANY = tag_of(session_pb2.SessionResponse, "step_many")
"""The tag of the results of several steps in an answer."""
STEPS = tag_of(session_pb2.StepManyResult, "steps")
"""The tag of one step's result among several."""

FAILURE = tag_of(session_pb2.SessionResponse, "failure")[0]
"""The tag of a failure in an answer, as a number."""

SEQUENCE_TAG = session_pb2.SessionRequest.DESCRIPTOR.fields_by_name["sequence"].number << 3 | 1
"""The tag of the sequence of a message."""
SEQUENCE = struct.Struct("<BQ")
"""The form of the sequence: its tag, and the number."""
PREFIX = SEQUENCE.size
"""The bytes of the sequence, with which a message begins."""

INNER_FORM = struct.Struct("<c5s")
"""What stands before what a field holds: its tag, and its length as a varint of five bytes."""
INNER = INNER_FORM.size
"""The bytes of that."""


def varint_of(number: int) -> bytes:
    """A number as the shortest varint."""
    groups = [number & 0x7F]
    while number := number >> 7:
        groups[-1] |= _HIGH
        groups.append(number & 0x7F)
    return bytes(groups)


@lru_cache(maxsize=256)
def padded(length: int) -> bytes:
    """A length as a varint of five bytes."""
    return bytes(
        [*(length >> shift & 0x7F | _HIGH for shift in (0, 7, 14, 21)), length >> 28 & 0x7F]
    )


@lru_cache(maxsize=256)
def unpadded(varint: bytes) -> int:
    """The length that a varint of five bytes stands for; -1 where it is shorter or longer."""
    *low, last = varint
    if last & _HIGH or not all(byte & _HIGH for byte in low):
        return -1
    return sum((byte & 0x7F) << 7 * place for place, byte in enumerate(varint))


def frame(buffer: Writable, start: int, tag: bytes, end: int) -> None:
    """Writes the tag and the length of a field that begins at `start` and ends at `end`."""
    INNER_FORM.pack_into(buffer, start, tag, padded(end - start - INNER))


def write_sequence(buffer: Writable, start: int, sequence: int) -> None:
    """Writes the sequence with which a message begins."""
    SEQUENCE.pack_into(buffer, start, SEQUENCE_TAG, sequence)


def sequence_of(message: bytes) -> int | None:
    """The sequence with which a message begins; None where it does not."""
    if len(message) < PREFIX or message[0] != SEQUENCE_TAG:
        return None
    sequence: int = SEQUENCE.unpack_from(message)[1]
    return sequence


_REQUEST = struct.Struct(f"<BQ{2 * INNER}s")
_REQUEST_BYTES, _pack_request, _unpack_request = _REQUEST.size, _REQUEST.pack, _REQUEST.unpack_from


@lru_cache(maxsize=256)
def _before_action(size: int) -> bytes:
    """What stands between the sequence and the slab of an action of that many bytes."""
    return _STEP_CALL + padded(size + INNER) + _ACTION + padded(size)


def _write_action(sequence: int, action: bytes, /) -> bytes:
    return _pack_request(SEQUENCE_TAG, sequence, _before_action(len(action))) + action


def _read_action(message: bytes, /) -> tuple[int, bytes] | None:
    size = len(message) - _REQUEST_BYTES
    if size < 0:
        return None
    tag, sequence, before = _unpack_request(message)
    if tag != SEQUENCE_TAG or before != _before_action(size):
        return None
    return sequence, message[_REQUEST_BYTES:]


_RESULT = ("rewards", "terminations", "truncations", "observation", "info")

_TAGS = b"".join(
    [
        bytes([SEQUENCE_TAG]),
        _STEP_CALL,
        _ACTION,
        STEP,
        *(tag_of(session_pb2.StepResult, name) for name in _RESULT),
    ]
)

MESSAGES = compiled.Messages(_TAGS) if compiled else None
"""Writes and reads the messages of a single environment's steps in C; None where Python does."""

write_action: Callable[[int, bytes], bytes] = MESSAGES.write_action if MESSAGES else _write_action
"""The message of a step: from its sequence and its action's slab."""

read_action: Callable[[bytes], tuple[int, bytes] | None] = (
    MESSAGES.read_action if MESSAGES else _read_action
)
"""Sequence and action's slab of a step's message; None where protobuf must read it."""
