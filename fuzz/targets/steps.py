"""Steps in the fixed form: reading them without protobuf gives what protobuf gives."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable
from random import Random
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from fuzz import golden
from fuzz.messages import message_mutator
from fuzz.target import Feed, Target, expect
from rlmesh.codec.step.protocols import Stepped
from rlmesh.codec.step.result import compile_step_result, read_steps, stepped
from rlmesh.codec.step.wire import read_action, sequence_of
from rlmesh_api.v1 import session_pb2

_SUB_ENVS = (None, 1, 2, 200)
_BEFORE, _AFTER = b"\xee" * 24, b"\xff" * 12


@contextlib.contextmanager
def _opened() -> Generator[Feed]:
    forms = [compile_step_result(num_envs) for num_envs in _SUB_ENVS]

    def feed(data: bytes) -> None:
        if not data:
            return
        chosen = data[0] % len(_SUB_ENVS)
        form, num_envs, message = forms[chosen], _SUB_ENVS[chosen], data[1:]
        _check_action(message)
        sequence = sequence_of(message) or 0
        around = _BEFORE + message + _AFTER
        start, end = len(_BEFORE), len(_BEFORE) + len(message)
        found = form.read_answer(message, 0, len(message), sequence)
        same = form.read_answer(memoryview(around), start, end, sequence)
        expect((found is None) == (same is None), "an answer is another one at another place")
        if found is not None:
            _check_steps(message, [found], num_envs)
        many = read_steps(form, message, 0, len(message), sequence)
        same_many = read_steps(form, memoryview(around), start, end, sequence)
        expect((many is None) == (same_many is None), "answers are others at another place")
        if many is not None:
            _check_steps(message, many, num_envs)

    yield feed


def _check_action(message: bytes) -> None:
    found = read_action(message)
    if found is not None:
        request = session_pb2.SessionRequest.FromString(message)
        expect(request.WhichOneof("call") == "step", "no step was read as one")
        expect(found == (request.sequence, request.step.action), "another action was read")


def _check_steps(message: bytes, found: list[Stepped], num_envs: int | None) -> None:
    flags = [flag for _, *pair, _, _, _, _ in found for flag in pair]
    try:
        answer = session_pb2.SessionResponse.FromString(message)
    except DecodeError:
        answer = None
    if answer is None:
        # Flags of more than one bit are the one thing that the fixed form takes and protobuf may
        # not; their sub-environments' numbers are there all the same.
        expect(any(np.any(flag) for flag in flags), "a damaged message was read")
        return
    one = answer.WhichOneof("answer") == "step"
    results = [answer.step] if one else list(answer.step_many.steps)
    expect(len(results) == len(found), f"{len(found)} steps were read of {len(results)}")
    for result, step in zip(results, found, strict=True):
        by_protobuf = stepped(result, num_envs)
        if by_protobuf is None:
            expect(any(np.any(flag) for flag in flags), "sub-environments are missing")
            continue
        for here, there in zip(_plain(step), _plain(by_protobuf), strict=True):
            expect(here == there, f"{here!r} was read of {there!r}")


def _plain(step: Stepped) -> tuple[Any, ...]:
    reward, terminated, truncated, buffer, start, nbytes, info = step
    reals = np.asarray(reward, np.float64)
    flags = [np.asarray(flag, np.bool_).tobytes() for flag in (terminated, truncated)]
    return reals.tobytes(), *flags, bytes(buffer[start : start + nbytes]), info


def _seeds() -> Iterable[bytes]:
    for name, request, answer in golden.calls():
        num_envs = bytes([2 if name == "num_envs" else 0])
        yield num_envs + request
        yield num_envs + answer


_mutate_answer = message_mutator(session_pb2.SessionResponse)


def _mutate(data: bytes, random: Random) -> bytes | None:
    """Keeps what is around the lengths, or a message that protobuf writes in its own form."""
    if len(data) < 2:
        return None
    if random.random() < 0.3:
        message = _mutate_answer(data[1:], random)
        return None if message is None else data[:1] + message
    changed = bytearray(data)
    at = random.randrange(len(changed))
    changed[at] = random.choice((0, 1, 2, 0x7F, 0x80, 0xFF, changed[at] ^ 1, changed[at] ^ 0x80))
    if random.random() < 0.2:
        del changed[random.randrange(len(changed)) :]
    return bytes(changed)


STEPS = Target(
    "steps", "steps in the fixed form, as both sides read them", _opened, _seeds, _mutate
)
