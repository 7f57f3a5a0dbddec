"""The result of a step as bytes, written around the slab of its observation and read in one go."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from rlmesh.codec.slab.protocols import Readable, Writable
from rlmesh.codec.step.protocols import Read, ReadAnswer, Stepped, Write
from rlmesh.codec.step.wire import (
    INNER,
    INNER_FORM,
    MESSAGES,
    PREFIX,
    SEQUENCE,
    SEQUENCE_TAG,
    STEP,
    STEP_MANY,
    STEPS,
    padded,
    tag_of,
    unpadded,
    varint_of,
)
from rlmesh_api.v1 import session_pb2

__all__ = ["StepResultCodec", "compile_step_result", "read_steps", "stepped"]

_INFO = tag_of(session_pb2.StepResult, "info")


@dataclass(frozen=True, slots=True, eq=False)
class StepResultCodec:
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


def compile_step_result(num_envs: int | None) -> StepResultCodec:
    """Compiles how steps are written and read.

    Args:
        num_envs: The number of sub-environments of a vector environment; None for a single one.
    """
    count = 1 if num_envs is None else num_envs
    double, flag = ("d", "?") if num_envs is None else (f"{8 * num_envs}s", f"{num_envs}s")
    marks = _marks(count)
    opening = INNER + len(marks.rewards)
    second, third = len(marks.terminations), len(marks.truncations)
    form = struct.Struct(f"<{opening}s{double}{second}s{flag}{third}s{flag}{INNER}s")
    write, read = _compile_write(form, marks), _compile_read(form, marks)
    if num_envs is None:
        if MESSAGES:
            return StepResultCodec(form.size, MESSAGES.write_result, read, MESSAGES.read_answer)
        return StepResultCodec(form.size, write, read, _compile_read_single(form, marks, read))
    write, read = _of_sub_envs_write(write), _of_sub_envs_read(read)
    return StepResultCodec(form.size, write, read, _compile_read_answer(read))


class _Marks(NamedTuple):
    """What stands before each part of a step's result, with a length unless it varies."""

    rewards: bytes
    terminations: bytes
    truncations: bytes
    observation: bytes


def _marks(count: int) -> _Marks:
    tags = [tag_of(session_pb2.StepResult, name) for name in _Marks._fields]
    return _Marks(
        tags[0] + varint_of(8 * count),
        tags[1] + varint_of(count),
        tags[2] + varint_of(count),
        tags[3],
    )


def _compile_write(form: struct.Struct, marks: _Marks) -> Write:
    _, terminations, truncations, _ = marks
    head, pack_into, edges = form.size, form.pack_into, _edges(marks)

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
            INNER_FORM.pack_into(buffer, end, _INFO, padded(len(info)))
            end += INNER
            buffer[end : end + len(info)] = info
            end += len(info)
        reward, terminated, truncated = numbers
        opening, closing = edges(tag, end - start - INNER, slab_end - start - head)
        pack_into(
            buffer,
            start,
            opening,
            reward,
            terminations,
            terminated,
            truncations,
            truncated,
            closing,
        )
        return end

    return write


def _compile_read(form: struct.Struct, marks: _Marks) -> Read:
    _, terminations, truncations, _ = marks
    head, unpack_from, edges, closed = form.size, form.unpack_from, _edges(marks), _closed(marks)

    def read(buffer: Readable, start: int, end: int, tag: bytes, /) -> Stepped | None:
        if end - start < head:
            return None
        a, reward, b, terminated, c, truncated, d = unpack_from(buffer, start)
        slab, nbytes = start + head, closed(d)
        if nbytes < 0 or b != terminations or c != truncations:
            return None
        if (a, d) != edges(tag, end - start - INNER, nbytes):
            return None
        after = slab + nbytes
        if after == end:
            return reward, terminated, truncated, buffer, slab, nbytes, b""
        begin = after + INNER
        if begin > end:
            return None
        if INNER_FORM.unpack_from(buffer, after) != (_INFO, padded(end - begin)):
            return None
        return reward, terminated, truncated, buffer, slab, nbytes, bytes(buffer[begin:end])

    return read


def _edges(marks: _Marks) -> Callable[[bytes, int, int], tuple[bytes, bytes]]:
    """What stands before the rewards and before the slab: given its tag and both lengths."""

    @lru_cache(maxsize=64)
    def edges(tag: bytes, length: int, slab: int) -> tuple[bytes, bytes]:
        return tag + padded(length) + marks.rewards, marks.observation + padded(slab)

    return edges


def _closed(marks: _Marks) -> Callable[[bytes], int]:
    """The length of the slab before which this stands; -1 where it is another form."""

    @lru_cache(maxsize=64)
    def closed(closing: bytes) -> int:
        return unpadded(closing[1:]) if closing[:1] == marks.observation else -1

    return closed


def _compile_read_answer(read: Read) -> ReadAnswer:
    unpack_from = SEQUENCE.unpack_from

    def read_answer(buffer: Readable, start: int, end: int, sequence: int, /) -> Stepped | None:
        if end - start < PREFIX or unpack_from(buffer, start) != (SEQUENCE_TAG, sequence):
            return None
        return read(buffer, start + PREFIX, end, STEP)

    return read_answer


def _compile_read_single(form: struct.Struct, marks: _Marks, read: Read) -> ReadAnswer:
    """What `_compile_read_answer` gives for a single environment: one frame if there is no info."""
    edges = _edges(marks)
    whole = struct.Struct(SEQUENCE.format + form.format.removeprefix("<"))
    size, unpack_from = whole.size, whole.unpack_from
    otherwise = _compile_read_answer(read)

    @lru_cache(maxsize=64)
    def around(nbytes: int) -> tuple[int, bytes, bytes, bytes, bytes]:
        """All that does not change as long as a slab has so many bytes, and no info follows it."""
        opening, closing = edges(STEP, size - PREFIX - INNER + nbytes, nbytes)
        return SEQUENCE_TAG, opening, marks.terminations, marks.truncations, closing

    def read_single(buffer: Readable, start: int, end: int, sequence: int, /) -> Stepped | None:
        nbytes = end - start - size
        if nbytes < 0:
            return None
        tag, number, a, reward, b, terminated, c, truncated, d = unpack_from(buffer, start)
        if (tag, a, b, c, d) == around(nbytes) and number == sequence:
            return reward, terminated, truncated, buffer, start + size, nbytes, b""
        return otherwise(buffer, start, end, sequence)

    return read_single


def _of_sub_envs_write(write: Write) -> Write:
    def write_sub_envs(
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

    return write_sub_envs


def _of_sub_envs_read(read: Read) -> Read:
    def read_sub_envs(buffer: Readable, start: int, end: int, tag: bytes, /) -> Stepped | None:
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

    return read_sub_envs


def read_steps(
    form: StepResultCodec, buffer: Readable, start: int, end: int, sequence: int
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
    if end < place or SEQUENCE.unpack_from(buffer, start) != (SEQUENCE_TAG, sequence):
        return None
    if INNER_FORM.unpack_from(buffer, start + PREFIX) != (STEP_MANY, padded(end - place)):
        return None
    found: list[Stepped] = []
    while place < end:
        if end - place < INNER:
            return None
        step_end = place + INNER + unpadded(INNER_FORM.unpack_from(buffer, place)[1])
        step = form.read(buffer, place, step_end, STEPS) if step_end <= end else None
        if step is None:
            return None
        found.append(step)
        place = step_end
    return found


def stepped(result: session_pb2.StepResult, num_envs: int | None) -> Stepped | None:
    """What a step gave, read by protobuf; None if a sub-environment is missing."""
    numbers = (result.rewards, result.terminations, result.truncations)
    if any(len(part) != (1 if num_envs is None else num_envs) for part in numbers):
        return None
    slab = result.observation
    if num_envs is None:
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
