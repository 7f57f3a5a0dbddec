"""The messages of a step as bytes, written and read in one go.

They are `SessionRequest` and `SessionResponse` in protobuf's own encoding, in the fixed form that
session.proto describes: whatever stands before a slab is as long for one step as for the next, so
`struct` writes and reads it in less time than protobuf takes to make an object. A message in
another form is as good; protobuf reads it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
from google.protobuf.message import Message

from rlmesh.values.functions import Readable, Writable
from rlmesh_api.v1 import session_pb2

__all__ = [
    "FAILURE",
    "INNER",
    "PREFIX",
    "STEP",
    "STEPS",
    "STEP_MANY",
    "StepForm",
    "Stepped",
    "compile_step_form",
    "frame",
    "padded",
    "read_action",
    "read_steps",
    "sequence_of",
    "stepped",
    "unpadded",
    "write_action",
    "write_sequence",
]

Stepped: TypeAlias = tuple[Any, Any, Any, Readable, int, int, bytes]
"""What a step gave: reward, terminated and truncated, of a vector environment as arrays with a
place for each lane; where the observation's slab stands, where it begins there, how many bytes it
has; and the packed info."""

_LENGTH_TYPE = 2  # protobuf's wire type of a field that begins with its length
_HIGH = 0x80


def _tag(message: type[Message], field: str) -> bytes:
    """What stands before the length of a field; one byte, as the numbers used here are small."""
    return bytes([message.DESCRIPTOR.fields_by_name[field].number << 3 | _LENGTH_TYPE])


_STEP_CALL = _tag(session_pb2.SessionRequest, "step")
_ACTION = _tag(session_pb2.StepCall, "action")
_INFO = _tag(session_pb2.StepResult, "info")

STEP = _tag(session_pb2.SessionResponse, "step")
"""The tag of a step's result in an answer."""
STEP_MANY = _tag(session_pb2.SessionResponse, "step_many")
"""The tag of the results of several steps in an answer."""
STEPS = _tag(session_pb2.StepManyResult, "steps")
"""The tag of one step's result among several."""

FAILURE = _tag(session_pb2.SessionResponse, "failure")[0]
"""The tag of a failure in an answer, as a number."""

_SEQUENCE_TAG = session_pb2.SessionRequest.DESCRIPTOR.fields_by_name["sequence"].number << 3 | 1
_SEQUENCE = struct.Struct("<BQ")
PREFIX = _SEQUENCE.size
"""The bytes of the sequence, with which a message begins."""

_INNER = struct.Struct("<c5s")
INNER = _INNER.size
"""The bytes before what a field holds: its tag, and its length as a varint of five bytes."""


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
    _INNER.pack_into(buffer, start, tag, padded(end - start - INNER))


def write_sequence(buffer: Writable, start: int, sequence: int) -> None:
    """Writes the sequence with which a message begins."""
    _SEQUENCE.pack_into(buffer, start, _SEQUENCE_TAG, sequence)


def sequence_of(message: bytes) -> int | None:
    """The sequence with which a message begins; None where it does not."""
    if len(message) < PREFIX or message[0] != _SEQUENCE_TAG:
        return None
    sequence: int = _SEQUENCE.unpack_from(message)[1]
    return sequence


_REQUEST = struct.Struct(f"<BQ{2 * INNER}s")
_REQUEST_BYTES, _pack_request, _unpack_request = _REQUEST.size, _REQUEST.pack, _REQUEST.unpack_from


@lru_cache(maxsize=256)
def _before_action(size: int) -> bytes:
    """What stands between the sequence and the slab of an action of that many bytes."""
    return _STEP_CALL + padded(size + INNER) + _ACTION + padded(size)


def write_action(sequence: int, action: bytes) -> bytes:
    """The message of a step with that action's slab."""
    return _pack_request(_SEQUENCE_TAG, sequence, _before_action(len(action))) + action


def read_action(message: bytes) -> tuple[int, bytes] | None:
    """Sequence and action's slab of a step's message; None where protobuf must read it."""
    size = len(message) - _REQUEST_BYTES
    if size < 0:
        return None
    tag, sequence, before = _unpack_request(message)
    if tag != _SEQUENCE_TAG or before != _before_action(size):
        return None
    return sequence, message[_REQUEST_BYTES:]


class Write(Protocol):
    """Writes a step's result around the slab of its observation, which stands there already."""

    def __call__(
        self,
        buffer: Writable,
        start: int,
        tag: bytes,
        slab_end: int,
        numbers: tuple[Any, Any, Any],
        info: bytes,
        /,
    ) -> int:
        """Where the result ends.

        Args:
            buffer: Where to write it.
            start: Where it begins; its slab begins `head` bytes later.
            tag: The tag of the field that holds it.
            slab_end: Where the slab ends; the packed info and what stands before it must fit
                behind.
            numbers: Reward, terminated and truncated; of a vector environment as arrays of float64
                and bool, shape `(num_envs,)`.
            info: The packed info; empty means an empty dict.
        """
        ...


class Read(Protocol):
    """Reads a step's result."""

    def __call__(self, buffer: Readable, start: int, end: int, tag: bytes, /) -> Stepped | None:
        """What the step gave; None where protobuf must read it.

        Args:
            buffer: Where it stands.
            start: Where its field begins.
            end: Where that ends.
            tag: The field's tag.
        """
        ...


class ReadAnswer(Protocol):
    """Reads the answer to a step."""

    def __call__(self, buffer: Readable, start: int, end: int, sequence: int, /) -> Stepped | None:
        """What the step gave; None where protobuf must read it.

        Args:
            buffer: Where the message stands.
            start: Where it begins.
            end: Where it ends.
            sequence: Its sequence.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class StepForm:
    """How the result of a step stands in a message.

    Attributes:
        head: The bytes from the beginning of its field to the slab of its observation.
        write: Writes it.
        read: Reads it.
        read_answer: Reads it, of a message that holds it alone.
    """

    head: int
    write: Write
    read: Read
    read_answer: ReadAnswer


def compile_step_form(lanes: int | None) -> StepForm:
    """Compiles how steps are written and read.

    Args:
        lanes: The number of lanes of a vector environment; None for a single one.
    """
    count = 1 if lanes is None else lanes
    double, flag = ("d", "?") if lanes is None else (f"{8 * lanes}s", f"{lanes}s")
    marks = _marks(count)
    opening = INNER + len(marks.rewards)
    second, third = len(marks.terminations), len(marks.truncations)
    form = struct.Struct(f"<{opening}s{double}{second}s{flag}{third}s{flag}{INNER}s")
    write, read = _compile_write(form, marks), _compile_read(form, marks)
    if lanes is not None:
        write, read = _of_lanes_write(write), _of_lanes_read(read)
    return StepForm(form.size, write, read, _compile_read_answer(read))


class _Marks(NamedTuple):
    """What stands before each part of a step's result, with a length unless it varies."""

    rewards: bytes
    terminations: bytes
    truncations: bytes
    observation: bytes


def _marks(count: int) -> _Marks:
    tags = [_tag(session_pb2.StepResult, name) for name in _Marks._fields]
    return _Marks(
        tags[0] + _varint(8 * count), tags[1] + _varint(count), tags[2] + _varint(count), tags[3]
    )


def _compile_write(form: struct.Struct, marks: _Marks) -> Write:
    _, terminations, truncations, _ = marks
    head, pack_into, opening, closing = form.size, form.pack_into, _opening(marks), _closing(marks)

    def write(
        buffer: Writable,
        start: int,
        tag: bytes,
        slab_end: int,
        numbers: tuple[Any, Any, Any],
        info: bytes,
        /,
    ) -> int:
        end = slab_end
        if info:
            _INNER.pack_into(buffer, end, _INFO, padded(len(info)))
            end += INNER
            buffer[end : end + len(info)] = info
            end += len(info)
        reward, terminated, truncated = numbers
        pack_into(
            buffer,
            start,
            opening(tag, end - start - INNER),
            reward,
            terminations,
            terminated,
            truncations,
            truncated,
            closing(slab_end - start - head),
        )
        return end

    return write


def _compile_read(form: struct.Struct, marks: _Marks) -> Read:
    _, terminations, truncations, _ = marks
    head, unpack_from, opening, closed = (
        form.size,
        form.unpack_from,
        _opening(marks),
        _closed(marks),
    )

    def read(buffer: Readable, start: int, end: int, tag: bytes, /) -> Stepped | None:
        if end - start < head:
            return None
        a, reward, b, terminated, c, truncated, d = unpack_from(buffer, start)
        if a != opening(tag, end - start - INNER) or b != terminations or c != truncations:
            return None
        slab, nbytes = start + head, closed(d)
        after = slab + nbytes
        if after == end and nbytes >= 0:
            return reward, terminated, truncated, buffer, slab, nbytes, b""
        begin = after + INNER
        if nbytes < 0 or begin > end:
            return None
        if _INNER.unpack_from(buffer, after) != (_INFO, padded(end - begin)):
            return None
        return reward, terminated, truncated, buffer, slab, nbytes, bytes(buffer[begin:end])

    return read


def _opening(marks: _Marks) -> Callable[[bytes, int], bytes]:
    """What stands before the rewards: given the field's tag and length."""

    @lru_cache(maxsize=64)
    def opening(tag: bytes, length: int) -> bytes:
        return tag + padded(length) + marks.rewards

    return opening


def _closing(marks: _Marks) -> Callable[[int], bytes]:
    """What stands before the slab: given its length."""

    @lru_cache(maxsize=64)
    def closing(length: int) -> bytes:
        return marks.observation + padded(length)

    return closing


def _closed(marks: _Marks) -> Callable[[bytes], int]:
    """The length of the slab before which this stands; -1 where it is another form."""

    @lru_cache(maxsize=64)
    def closed(closing: bytes) -> int:
        return unpadded(closing[1:]) if closing[:1] == marks.observation else -1

    return closed


def _compile_read_answer(read: Read) -> ReadAnswer:
    unpack_from = _SEQUENCE.unpack_from

    def read_answer(buffer: Readable, start: int, end: int, sequence: int, /) -> Stepped | None:
        if end - start < PREFIX or unpack_from(buffer, start) != (_SEQUENCE_TAG, sequence):
            return None
        return read(buffer, start + PREFIX, end, STEP)

    return read_answer


def _of_lanes_write(write: Write) -> Write:
    def write_lanes(
        buffer: Writable,
        start: int,
        tag: bytes,
        slab_end: int,
        numbers: tuple[Any, Any, Any],
        info: bytes,
        /,
    ) -> int:
        reward, terminated, truncated = numbers
        chunks = (reward.tobytes(), terminated.tobytes(), truncated.tobytes())
        return write(buffer, start, tag, slab_end, chunks, info)

    return write_lanes


def _of_lanes_read(read: Read) -> Read:
    def read_lanes(buffer: Readable, start: int, end: int, tag: bytes, /) -> Stepped | None:
        found = read(buffer, start, end, tag)
        if found is None:
            return None
        reward, terminated, truncated, slab, begin, nbytes, info = found
        return (
            np.frombuffer(reward, np.float64).copy(),
            # A bool of NumPy that is neither 0 nor 1 would break it.
            np.frombuffer(terminated, np.uint8) != 0,
            np.frombuffer(truncated, np.uint8) != 0,
            slab,
            begin,
            nbytes,
            info,
        )

    return read_lanes


def read_steps(
    form: StepForm, buffer: Readable, start: int, end: int, sequence: int
) -> list[Stepped] | None:
    """What several steps gave, of an answer to `step_many`; None where protobuf must read it.

    Args:
        form: How one step stands there.
        buffer: Where the message stands.
        start: Where it begins.
        end: Where it ends.
        sequence: Its sequence.
    """
    place = start + PREFIX + INNER
    if end < place or _SEQUENCE.unpack_from(buffer, start) != (_SEQUENCE_TAG, sequence):
        return None
    if _INNER.unpack_from(buffer, start + PREFIX) != (STEP_MANY, padded(end - place)):
        return None
    found: list[Stepped] = []
    while place < end:
        if end - place < INNER:
            return None
        step_end = place + INNER + unpadded(_INNER.unpack_from(buffer, place)[1])
        step = form.read(buffer, place, step_end, STEPS) if step_end <= end else None
        if step is None:
            return None
        found.append(step)
        place = step_end
    return found


def stepped(result: session_pb2.StepResult, lanes: int | None) -> Stepped | None:
    """What a step gave, of a result that protobuf has read; None where lanes are missing."""
    numbers = (result.rewards, result.terminations, result.truncations)
    if any(len(part) != (1 if lanes is None else lanes) for part in numbers):
        return None
    slab = result.observation
    if lanes is None:
        reward, terminated, truncated = (part[0] for part in numbers)
        return reward, terminated, truncated, slab, 0, len(slab), result.info
    return (
        np.array(result.rewards, np.float64),
        np.array(result.terminations, np.bool_),
        np.array(result.truncations, np.bool_),
        slab,
        0,
        len(slab),
        result.info,
    )


def _varint(number: int) -> bytes:
    groups = [number & 0x7F]
    while number := number >> 7:
        groups[-1] |= _HIGH
        groups.append(number & 0x7F)
    return bytes(groups)
