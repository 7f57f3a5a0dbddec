"""A compressed message, written and read."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import DecodeError

from rlmesh.codec.step.wire import PREFIX, SEQUENCE, SEQUENCE_TAG, tag_of
from rlmesh.transports.compression.algorithms import IDENTITY, compress, decompress
from rlmesh_api.v1 import session_pb2

LEAST_BYTES = 1024
"""The bytes from which on a message is compressed."""

_ANSWER_TAG = tag_of(session_pb2.SessionResponse, "compressed")[0]


def compressed_request(
    message: bytes, sequence: int, answer: session_pb2.Compression.ValueType
) -> bytes:
    """A request whose answer may be compressed; itself it is where that makes it smaller.

    Args:
        message: The request.
        sequence: Its sequence.
        answer: The compression of both.
    """
    request = session_pb2.SessionRequest(
        sequence=sequence, compressed=_smaller(message, answer) or _as_it_is(message)
    )
    request.compressed.answer = answer
    return request.SerializeToString()


def compressed_answer(
    message: Any, sequence: int, compression: session_pb2.Compression.ValueType
) -> bytes | None:
    """An answer in compressed form; None where that would not be smaller.

    Args:
        message: The answer, in an object with a buffer.
        sequence: Its sequence.
        compression: The compression.
    """
    made = _smaller(message, compression)
    if made is None:
        return None
    return session_pb2.SessionResponse(sequence=sequence, compressed=made).SerializeToString()


def is_compressed_answer(message: Any, start: int) -> bool:
    """Whether the answer that begins there, of more than `PREFIX` bytes, is in compressed form."""
    return bool(message[start + PREFIX] == _ANSWER_TAG)


def sequence_at(message: Any, start: int) -> int | None:
    """The sequence of the message that begins there; None where it does not begin with one."""
    if message[start] != SEQUENCE_TAG:
        return None
    sequence: int = SEQUENCE.unpack_from(message, start)[1]
    return sequence


def uncompressed(compressed: session_pb2.CompressedMessage, limit: int) -> bytes:
    """The message that has crossed in compressed form.

    Args:
        compressed: That form.
        limit: How many bytes the message may have.

    Raises:
        DecodeError: If it is damaged, or larger than that, or there is no memory for it.
    """
    size = compressed.size
    if size > limit:
        raise DecodeError(f"a compressed message of {size} bytes; the limit is {limit}")
    try:
        return decompress(compressed.data, compressed.compression, size)
    except ValueError as error:
        raise DecodeError(f"a compressed message is damaged: {error}") from error
    except MemoryError as error:
        raise DecodeError(f"there is no memory for a message of {size} bytes") from error


def _smaller(
    message: Any, compression: session_pb2.Compression.ValueType
) -> session_pb2.CompressedMessage | None:
    size = len(message)
    if compression == IDENTITY or size < LEAST_BYTES:
        return None
    data = compress(message, compression)
    if len(data) >= size:
        return None
    return session_pb2.CompressedMessage(compression=compression, size=size, data=data)


def _as_it_is(message: bytes) -> session_pb2.CompressedMessage:
    return session_pb2.CompressedMessage(compression=IDENTITY, size=len(message), data=message)
