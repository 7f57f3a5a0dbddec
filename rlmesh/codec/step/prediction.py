"""The messages of a prediction as bytes, laid out by hand; protobuf reads and writes the same.

As for a step, what stands before a slab is as long for one prediction as for the next.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import NamedTuple

from google.protobuf.message import Message

from rlmesh.codec.slab.protocols import Readable, Writable
from rlmesh.codec.step.wire import INNER, PREFIX, SEQUENCE_TAG, padded, tag_of, unpadded
from rlmesh_api.v1 import session_pb2

__all__ = [
    "CALL_HEAD",
    "RESULT_HEAD",
    "Asked",
    "Predicted",
    "predicted",
    "read_prediction",
    "read_prediction_call",
    "write_prediction",
    "write_prediction_call",
    "write_prediction_call_into",
]

_VARINT, _FIXED64, _FIXED32 = 0, 1, 5  # protobuf's wire types


def _tag(message: type[Message], field: str, wire_type: int) -> bytes:
    return bytes([message.DESCRIPTOR.fields_by_name[field].number << 3 | wire_type])


_CALL = tag_of(session_pb2.SessionRequest, "predict")
_CHUNK = _tag(session_pb2.PredictCall, "chunk", _VARINT)
_COUNT = _tag(session_pb2.PredictCall, "count", _FIXED32)
_OBSERVATION = tag_of(session_pb2.PredictCall, "observation")

_ANSWER = tag_of(session_pb2.SessionResponse, "predict")
_QUEUE = _tag(session_pb2.PredictResult, "queue_seconds", _FIXED64)
_MODEL = _tag(session_pb2.PredictResult, "model_seconds", _FIXED64)
_BATCH = _tag(session_pb2.PredictResult, "batch_size", _FIXED32)
_ACTION = tag_of(session_pb2.PredictResult, "action")

_NUMBERS = struct.Struct(f"<c?cIc{INNER - 1}s")
_REQUEST = struct.Struct(f"<BQ{INNER}s{_NUMBERS.size}s")
_HEAD = struct.Struct("<BQ")
_RESULT = struct.Struct("<BQc5scdcdcIc5s")

CALL_HEAD = _REQUEST.size
"""How many bytes of a call stand before its slab."""

RESULT_HEAD = _RESULT.size
"""How many bytes of an answer stand before its slab."""


class Asked(NamedTuple):
    """What a prediction is asked for.

    Attributes:
        message: Where the observation's slab stands.
        start: Where it begins there.
        nbytes: How many bytes it has.
        chunk: Whether chunks are wanted.
        batch: How many observations; 0: one without an axis for the batch.
        offer: What the model may plan a chunk on from; None: nothing.
    """

    message: Readable
    start: int
    nbytes: int
    chunk: bool
    batch: int
    offer: session_pb2.ChunkOffer | None = None


class Predicted(NamedTuple):
    """What a prediction has answered.

    Attributes:
        buffer: Where the action's slab stands.
        start: Where it begins there.
        nbytes: How many bytes it has.
        queue_seconds: For how long the request has waited.
        model_seconds: For how long the model has computed.
        batch_size: How many observations at once.
        deviations: What was not quite in the action space.
    """

    buffer: Readable
    start: int
    nbytes: int
    queue_seconds: float
    model_seconds: float
    batch_size: int
    deviations: tuple[session_pb2.Deviation, ...] = ()


# Makes one of both without the frame of its constructor: every prediction passes here.
_as_tuple = tuple.__new__  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType] # typeshed leaves open of what


@lru_cache(maxsize=256)
def _before_slab(size: int, chunk: bool, count: int) -> bytes:
    """What stands between the sequence and the slab of observations of that many bytes."""
    numbers = _NUMBERS.pack(_CHUNK, chunk, _COUNT, count, _OBSERVATION, padded(size))
    return _CALL + padded(size + len(numbers)) + numbers


def write_prediction_call(sequence: int, slab: bytes, *, chunk: bool, count: int) -> bytes:
    """The message that asks for a prediction.

    Args:
        sequence: The call's number.
        slab: The slab of the observation, or of the batch.
        chunk: Whether chunks are wanted.
        count: How many observations; 0: one without an axis for the batch.
    """
    head = _HEAD.pack(SEQUENCE_TAG, sequence)
    return b"".join((head, _before_slab(len(slab), chunk, count), slab))


def write_prediction_call_into(
    buffer: Writable, start: int, sequence: int, nbytes: int, *, chunk: bool, count: int
) -> int:
    """Writes a call around its slab, which stands in the buffer already; returns where it ends.

    Args:
        buffer: The buffer.
        start: Where the message begins; the slab begins `CALL_HEAD` bytes later.
        sequence: The call's number.
        nbytes: How many bytes the slab has.
        chunk: Whether chunks are wanted.
        count: How many observations; 0: one without an axis for the batch.
    """
    _HEAD.pack_into(buffer, start, SEQUENCE_TAG, sequence)
    slab = start + CALL_HEAD
    buffer[start + PREFIX : slab] = _before_slab(nbytes, chunk, count)
    return slab + nbytes


def read_prediction_call(message: bytes | memoryview) -> tuple[int, Asked] | None:
    """Sequence and question of a prediction's message; None where protobuf must read it."""
    size = len(message) - CALL_HEAD
    if size < 0:
        return None
    tag, sequence, _, numbers = _REQUEST.unpack_from(message)
    _, chunk, _, count, _, _ = _NUMBERS.unpack(numbers)
    if tag != SEQUENCE_TAG or message[PREFIX:CALL_HEAD] != _before_slab(size, chunk, count):
        return None
    return sequence, _as_tuple(Asked, (message, CALL_HEAD, size, chunk, count, None))


def write_prediction(
    buffer: Writable,
    start: int,
    sequence: int,
    end: int,
    numbers: tuple[float, float, int],
    slab_end: int,
) -> None:
    """Writes an answer around the slab of its action, which stands there already.

    Args:
        buffer: Where to write it.
        start: Where it begins; its slab begins `RESULT_HEAD` bytes later.
        sequence: The call's number.
        end: Where it ends: behind the slab, or behind the deviations that follow it.
        numbers: The seconds in the queue and in the model, and the size of the batch.
        slab_end: Where the slab ends.
    """
    queue_seconds, model_seconds, batch_size = numbers
    _RESULT.pack_into(
        buffer,
        start,
        SEQUENCE_TAG,
        sequence,
        _ANSWER,
        padded(end - start - PREFIX - INNER),
        _QUEUE,
        queue_seconds,
        _MODEL,
        model_seconds,
        _BATCH,
        batch_size,
        _ACTION,
        padded(slab_end - start - RESULT_HEAD),
    )


_FIXED = (SEQUENCE_TAG, _ANSWER, _QUEUE, _MODEL, _BATCH, _ACTION)


def read_prediction(buffer: Readable, start: int, end: int, sequence: int) -> Predicted | None:
    """What a prediction has answered; None where protobuf must read it.

    Args:
        buffer: Where the message stands.
        start: Where it begins.
        end: Where it ends.
        sequence: Its sequence.
    """
    slab = start + RESULT_HEAD
    if end < slab:
        return None
    tag, number, a, length, b, queue, c, model, d, batch, e, size = _RESULT.unpack_from(
        buffer, start
    )
    if (tag, a, b, c, d, e) != _FIXED or number != sequence:
        return None
    nbytes = unpadded(size)
    if nbytes != end - slab or unpadded(length) != end - start - PREFIX - INNER:
        return None
    return _as_tuple(Predicted, (buffer, slab, nbytes, queue, model, batch, ()))


def predicted(result: session_pb2.PredictResult) -> Predicted:
    """What a prediction has answered, read by protobuf."""
    slab = result.action
    return Predicted(
        slab,
        0,
        len(slab),
        result.queue_seconds,
        result.model_seconds,
        result.batch_size,
        tuple(result.deviations),
    )
