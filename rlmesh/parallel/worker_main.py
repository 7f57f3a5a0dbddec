"""The worker: a process that holds a run of sub-environments and steps them on its main thread."""

from __future__ import annotations

import logging
import mmap
import os
import pickle
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rlmesh.codec.infos.packing import pack_listing
from rlmesh.contract import AutoresetMode, EnvContract
from rlmesh.envs.forks import EndsInChild
from rlmesh.envs.raised import CallFailedError, env_raised, failed
from rlmesh.envs.single import single_env
from rlmesh.errors import RlmeshError
from rlmesh.parallel.frames import Frame, FrameSocket, join_parts
from rlmesh.parallel.segment import FAILED, INFO_BYTES, LENGTH, OVERFLOW, SegmentPlan
from rlmesh.parallel.sub_env import SubEnv, read_texts
from rlmesh.parallel.waiting import ORDERED, Waiter, fence
from rlmesh.processes.control import ControlMessage, write_message
from rlmesh.processes.parent_death import StatusThread
from rlmesh.processes.worker_start import read_spec, start_worker
from rlmesh.transports.shm.segment import map_segment
from rlmesh_api.v1 import session_pb2

__all__ = ["ASLEEP", "AT", "COMMANDS", "ENV_INDEX", "INTRODUCTION", "RING", "WorkerSpec", "main"]

INTRODUCTION = struct.Struct("<QQQ")
"""What comes with the segment: how many sub-environments and workers there are, and which worker
this is."""

ENV_INDEX = struct.Struct("<Q")
"""The form of a sub-environment's number in a frame."""

# In the line that a worker writes.
ASLEEP = 0
"""Whether the worker sleeps."""
AT = 8
"""The number of the sub-environment that the worker calls, and one; 0: it calls none."""
# In the line that is written for it.
RING = 0
"""When the worker shall ring: 0: never, 1: with each result, 2: once it has nothing more to do."""
COMMANDS = 1
"""How many commands were sent, modulo 256."""

_AT = struct.Struct("<Q")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSpec:
    """What a worker is to make.

    Attributes:
        factories: The callables that make its sub-environments, pickled.
        first: The number of its first sub-environment.
        mode: When sub-environments reset themselves.
        argv: The command line of the process that starts it.
        level: From which level on to log.
    """

    factories: bytes
    first: int
    mode: AutoresetMode
    argv: list[str]
    level: int


def main(parent: int, calls: int, control: int, stack_dump: int) -> None:
    """Runs a worker. The sub-environments are made, called and closed on the main thread.

    Args:
        parent: The id of the process that started it.
        calls: The descriptor of the socket beside the segment.
        control: The descriptor of the control channel.
        stack_dump: The descriptor of the stack dump; -1 where there is none.
    """
    start_worker(parent, stack_dump, (calls, control))
    calls_socket, control_socket = socket.socket(fileno=calls), socket.socket(fileno=control)
    os.register_at_fork(after_in_child=calls_socket.close)
    spec: WorkerSpec | None = read_spec(control_socket)
    if spec is None:
        return
    StatusThread(control_socket)
    try:
        envs, contract = _make(spec)
    except CallFailedError as error:
        control_socket.sendall(
            write_message(ControlMessage.FAILURE, error.failure.SerializeToString())
        )
        return
    control_socket.sendall(
        write_message(ControlMessage.CONTRACT, contract.to_proto().SerializeToString())
    )
    words, descriptors, _, _ = socket.recv_fds(calls_socket, INTRODUCTION.size, 1)
    if len(words) != INTRODUCTION.size:
        return
    num_envs, workers, worker = INTRODUCTION.unpack(words)
    plan = SegmentPlan.of(
        SegmentPlan.runs_of(num_envs, workers), contract.observation_space, contract.action_space
    )
    memory = map_segment(descriptors[0], plan.size)
    os.close(descriptors[0])
    sub_envs = [
        SubEnv(
            env, spec.first + index, contract.observation_space, contract.action_space, plan, memory
        )
        for index, env in enumerate(envs)
    ]
    for sub_env in sub_envs:
        sub_env.mode = spec.mode
    _Loop(sub_envs, spec.first, worker, plan, memory, FrameSocket(calls_socket)).run()


def _make(spec: WorkerSpec) -> tuple[list[Any], EnvContract]:
    try:
        factories: list[Callable[[], Any]] = pickle.loads(spec.factories)  # noqa: S301 - as above
    except BaseException as error:
        raise env_raised("reading the callable that makes the environment", error) from error
    envs: list[Any] = []
    first: EnvContract | None = None
    for env_index, factory in enumerate(factories, spec.first):
        try:
            with EndsInChild():
                made = factory()
            if any(made is env for env in envs):
                raise failed(
                    session_pb2.ERROR_CODE_ENVIRONMENT,
                    f"sub-environment {env_index}: the callable gave the same environment twice; "
                    f"make a new environment at every call",
                )
            env, contract = single_env(made, f"sub-environment {env_index}")
        except CallFailedError:
            raise
        except RlmeshError as error:
            # With the type of the error: the other side raises the same.
            raise CallFailedError(
                session_pb2.Failure(message=str(error), exception_type=type(error).__qualname__)
            ) from error
        except BaseException as error:
            raise env_raised(f"making sub-environment {env_index}", error) from error
        first = first or contract
        other = differing_space(first, contract)
        if other is not None:
            raise CallFailedError(
                session_pb2.Failure(
                    message=f"sub-environments {spec.first} and {env_index}: {other}",
                    exception_type="InvalidEnvError",
                )
            )
        envs.append(env)
    if first is None:
        raise failed(session_pb2.ERROR_CODE_INTERNAL, "a worker without a sub-environment")
    return envs, first


def differing_space(first: EnvContract, other: EnvContract) -> str | None:
    """In which space two sub-environments differ, for a message; None where they do not."""
    for name in ("observation_space", "action_space"):
        mine, theirs = getattr(first, name), getattr(other, name)
        if mine != theirs:
            return (
                f"the sub-environments of one vector environment have equal spaces, but their "
                f"{name} is {mine} and {theirs}"
            )
    return None


class _Loop:
    """Steps what was requested, and executes commands, until the other side has gone.

    Args:
        sub_envs: The worker's sub-environments.
        first: The number of the first.
        worker: The worker's number.
        plan: How the segment is divided.
        memory: The segment.
        frames: This side's end of the socket.
    """

    def __init__(
        self,
        sub_envs: list[SubEnv],
        first: int,
        worker: int,
        plan: SegmentPlan,
        memory: mmap.mmap,
        frames: FrameSocket,
    ) -> None:
        self._sub_envs = sub_envs
        self._first = first
        self._memory = memory
        self._frames = frames
        self._waiter = Waiter()
        self._there = True
        self._over = False
        count = len(sub_envs)
        self._requested = plan.requested + worker * plan.stride
        self._done = plan.done + worker * plan.stride
        self._requests = slice(self._requested, self._requested + count)
        self._results = slice(self._done, self._done + count)
        self._line, self._far_line = plan.line(worker), plan.far_line(worker)
        # Not what stands there: a command may have come already.
        self._commands = 0
        self._lengths = plan.lengths + LENGTH.size * first
        self._reports = plan.reports + INFO_BYTES * first
        self._has_texts = plan.actions.has_text

    def run(self) -> None:
        """Runs until the other side has gone, or says that it closes."""
        memory, far_line = self._memory, self._far_line
        while self._there and not self._over:
            self._waiter.wait(self._look, self._sleep)
            if not ORDERED:
                fence()
            if memory[far_line + COMMANDS] != self._commands:
                self._commands = (self._commands + 1) & 0xFF
                self._execute(*self._next(lambda kind, _: kind != Frame.TEXTS))
            if memory[self._requests] != memory[self._results]:
                self._step()

    def _look(self) -> bool:
        memory = self._memory
        return (
            memory[self._requests] != memory[self._results]
            or memory[self._far_line + COMMANDS] != self._commands
            or not self._there
        )

    def _sleep(self, seconds: float) -> None:
        memory = self._memory
        memory[self._line + ASLEEP] = 1
        try:
            if not self._look():
                self._there = self._frames.wait(seconds)
        finally:
            memory[self._line + ASLEEP] = 0

    def _step(self) -> None:
        """Steps each sub-environment that is requested, once."""
        memory, requested, done = self._memory, self._requested, self._done
        at, lengths, ring = self._line + AT, self._lengths, self._far_line + RING
        for index, sub_env in enumerate(self._sub_envs):
            request = memory[requested + index]
            if request == memory[done + index]:
                continue
            _AT.pack_into(memory, at, index + 1)
            if self._has_texts:
                sub_env.texts = self._texts_of(index)
            try:
                report = sub_env.step()
            except CallFailedError as error:
                self._fail(index, error)
                report = b""
                LENGTH.pack_into(memory, lengths + LENGTH.size * index, FAILED)
            if report:
                self._put_report(index, report)
            if not ORDERED:
                fence()
            memory[done + index] = request
            if len(report) > INFO_BYTES:
                # Only now: the other side reads it when it sees the result.
                number = ENV_INDEX.pack(self._first + index)
                self._there = self._frames.send(Frame.REPORT, number + report)
            if memory[ring] == 1 or not ORDERED:
                self._frames.ring()
        _AT.pack_into(memory, at, 0)
        if memory[ring]:
            self._frames.ring()

    def _put_report(self, index: int, report: bytes) -> None:
        """Writes a report into its area; where that is too small, only that there is one.

        The other side sets the length back to 0 when it takes the report.
        """
        length = len(report)
        if length > INFO_BYTES:
            length = OVERFLOW
        else:
            start = self._reports + index * INFO_BYTES
            self._memory[start : start + length] = report
        LENGTH.pack_into(self._memory, self._lengths + LENGTH.size * index, length)

    def _texts_of(self, index: int) -> list[str]:
        def is_of_this(kind: int, content: bytes) -> bool:
            return kind == Frame.TEXTS and ENV_INDEX.unpack_from(content)[0] == index

        _, content = self._next(is_of_this)
        return read_texts(content[ENV_INDEX.size :])

    def _next(self, wanted: Callable[[int, bytes], bool]) -> tuple[int, bytes]:
        """The next frame of a kind, which was sent before what announces it."""
        frames = self._frames.frames
        while True:
            for place, (kind, content) in enumerate(frames):
                if wanted(kind, content):
                    del frames[place]
                    return kind, content
            if not self._frames.wait(None):
                self._there = False
                return Frame.CLOSE, b""

    def _fail(self, index: int, error: CallFailedError) -> None:
        cause = error.__cause__
        if isinstance(cause, SystemExit):
            # The environment has this process to itself, so it may end it.
            raise cause
        number = ENV_INDEX.pack(self._first + index)
        self._frames.send(Frame.FAILED, number + error.failure.SerializeToString())

    def _execute(self, kind: int, content: bytes) -> None:
        index = 0
        answer: list[bytes] = []
        try:
            arguments = pickle.loads(content) if content else None  # noqa: S301 - as above
            if kind == Frame.CLOSE:
                self._over = True
            for index, sub_env in enumerate(self._sub_envs):
                _AT.pack_into(self._memory, self._line + AT, index + 1)
                answer.append(self._execute_on(kind, sub_env, index, arguments))
        except CallFailedError as error:
            if kind == Frame.CLOSE:
                for sub_env in self._sub_envs[index + 1 :]:
                    self._close_quietly(sub_env)
            self._fail(index, error)
        else:
            self._frames.send(Frame.DONE, join_parts(*answer))
        finally:
            _AT.pack_into(self._memory, self._line + AT, 0)

    def _execute_on(self, kind: int, sub_env: SubEnv, index: int, arguments: Any) -> bytes:
        if kind == Frame.RESET:
            seeds, options, mask, over = arguments
            if over:
                return sub_env.start_over()
            return sub_env.reset(seeds[index], options) if mask[index] else b""
        if kind == Frame.MODE:
            sub_env.mode = arguments
            return b""
        doing = {Frame.CALL: "", Frame.SET: "set_attr"}.get(Frame(kind), "close") or arguments[0]
        where = f"sub-environment {self._first + index}"
        try:
            with EndsInChild():
                result = _do(kind, sub_env.env, index, arguments)
        except BaseException as error:
            raise env_raised(f"{where}: the environment's {doing}()", error) from error
        if kind != Frame.CALL:
            return b""
        packed, degraded = pack_listing(result)
        if degraded:
            part = degraded[0]
            raise failed(
                session_pb2.ERROR_CODE_INVALID_ARGUMENT,
                f"{where}: {doing}: a value of type {part.type} cannot cross to another process "
                f"({part.reason}, at {part.path}); have the environment give numbers, texts, NumPy "
                f"arrays, lists, tuples and dicts of them",
            )
        return packed

    def _close_quietly(self, sub_env: SubEnv) -> None:
        try:
            sub_env.env.close()
        except Exception:
            logging.getLogger("rlmesh").exception("an environment could not be closed")


def _do(kind: int, env: Any, index: int, arguments: Any) -> Any:
    """Executes what is neither a reset nor a switch of the autoreset mode."""
    if kind == Frame.SET:
        name, values = arguments
        return env.set_wrapper_attr(name, values[index])
    if kind == Frame.CLOSE:
        return env.close()
    name, positional, keywords = arguments
    attribute = env.get_wrapper_attr(name)
    return attribute(*positional, **keywords) if callable(attribute) else attribute
