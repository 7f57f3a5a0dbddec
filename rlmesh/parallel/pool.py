"""The workers of one vector environment: started, driven, replaced and ended together."""

from __future__ import annotations

import contextlib
import logging
import mmap
import os
import pickle
import select
import sys
import time
import weakref
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt

from rlmesh.contract import AutoresetMode, EnvContract
from rlmesh.envs.raised import CallFailedError
from rlmesh.errors import (
    CallTimeoutError,
    EnvCrashedError,
    InvalidEnvError,
    RemoteEnvError,
    RlmeshError,
    StateError,
)
from rlmesh.parallel.factories import Factory
from rlmesh.parallel.frames import Frame, split_parts
from rlmesh.parallel.segment import FAILED, INFO_BYTES, LENGTH, OVERFLOW, SegmentPlan
from rlmesh.parallel.waiting import ORDERED, Waiter, fence
from rlmesh.parallel.worker import Worker, first_of
from rlmesh.parallel.worker_main import (
    ASLEEP,
    AT,
    COMMANDS,
    ENV_INDEX,
    RING,
    WorkerSpec,
    differing_space,
)
from rlmesh.processes.pickling import pickled
from rlmesh.processes.supervisor import Supervisor
from rlmesh.transports.failures import error_from_failure
from rlmesh.transports.shm.segment import create_segment, map_segment
from rlmesh_api.v1 import session_pb2

__all__ = ["WorkerPool"]

_log = logging.getLogger("rlmesh")

# How long a reset waits for steps that nobody took, before it ends their workers.
_GRACE_SECONDS = 1.0
# How long a replaced worker may take to make its sub-environments; but three times as long as the
# first ones, for which there is no limit.
_START_SECONDS = 60.0
_WORD = LENGTH.size

Report = bytes | RlmeshError
"""What a sub-environment reports beside the arrays, or why it has no result."""


class WorkerPool:
    """The workers, and the segment that they share.

    One thread at a time calls it. Any thread may call `pending_stacks` and `abandon` meanwhile.

    Args:
        factories: The callables that make the sub-environments.
        workers: How many workers there are.
        mode: When sub-environments reset themselves.

    Attributes:
        contract: The contract of sub-environment 0.
        plan: How the segment is divided.
        memory: The segment.
        sent: Which sub-environments were sent an action whose result was not taken.
        lost: The numbers of the workers that have died and were not replaced.

    Raises:
        RlmeshError: If a sub-environment cannot be made, or cannot be one of several.
        StateError: If this system has no anonymous shared memory.
    """

    def __init__(self, factories: Sequence[Factory], workers: int, mode: AutoresetMode) -> None:
        if not hasattr(os, "memfd_create"):
            raise StateError(
                f"parallel sub-environments need the shared memory of Linux, and this is "
                f"{sys.platform}; use gymnasium.vector.SyncVectorEnv here"
            )
        self.mode: AutoresetMode = mode
        self.lost: set[int] = set()
        self._supervisor = Supervisor()
        self._forked = False
        self._waiter = Waiter()
        num_envs = len(factories)
        runs = SegmentPlan.runs_of(num_envs, workers)
        self._factories = [
            pickled(list(factories[start:stop]), "what makes the sub-environments")
            for start, stop in runs
        ]
        self._workers: list[Worker] = []
        began = time.monotonic()
        try:
            for number, run in enumerate(runs):
                self._workers.append(self._start(number, run))
            contracts = [worker.await_contract(None) for worker in self._workers]
            self.contract: EnvContract = contracts[0]
            for worker, contract in zip(self._workers, contracts, strict=True):
                self._check_alike(worker, contract)
            self.plan: SegmentPlan = SegmentPlan.of(
                runs, self.contract.observation_space, self.contract.action_space
            )
            self._descriptor = create_segment(self.plan.size)
        except BaseException:
            self._kill("there is no vector environment")
            raise
        self._close_descriptor = weakref.finalize(self, os.close, self._descriptor)
        self._start_timeout = max(_START_SECONDS, 3 * (time.monotonic() - began))
        self.memory: mmap.mmap = map_segment(self._descriptor, self.plan.size)
        for worker in self._workers:
            worker.introduce(self._descriptor, num_envs, workers)
        self._prepare(num_envs, workers)
        _pools.add(self)

    def _prepare(self, num_envs: int, workers: int) -> None:
        """Makes what the path of a step uses."""
        plan, memory = self.plan, self.memory
        count = workers * plan.stride
        self._requested: npt.NDArray[np.uint8] = np.ndarray(count, np.uint8, memory, plan.requested)
        self._done: npt.NDArray[np.uint8] = np.ndarray(count, np.uint8, memory, plan.done)
        self._requests = slice(plan.requested, plan.requested + count)
        self._results = slice(plan.done, plan.done + count)
        self._counters = np.array([plan.counter(index) for index in range(num_envs)])
        self._each = np.zeros(count, np.uint8)
        self._each[self._counters] = 1
        self._lengths = slice(plan.lengths, plan.lengths + _WORD * num_envs)
        self._no_lengths = bytes(_WORD * num_envs)
        self._length: npt.NDArray[np.uint64] = np.ndarray(num_envs, np.uint64, memory, plan.lengths)
        self.sent: npt.NDArray[np.bool_] = np.zeros(num_envs, np.bool_)
        self._all_sent = np.ones(num_envs, np.bool_)
        self._asleep = [plan.line(number) + ASLEEP for number in range(workers)]
        self._rings = [plan.far_line(number) + RING for number in range(workers)]
        self._watch()

    def post(self) -> None:
        """Has every sub-environment step; the actions stand in the segment."""
        self.sent[:] = True
        if not ORDERED:
            fence()
        np.add(self._requested, self._each, out=self._requested)
        self._wake(self._workers)

    def post_some(self, env_indices: npt.NDArray[np.intp]) -> None:
        """Has some sub-environments step, each of which is in the list once."""
        self.sent[env_indices] = True
        if not ORDERED:
            fence()
        self._requested[self._counters[env_indices]] += 1
        self._wake(self._workers)

    def send_texts(self, env_index: int, packed: bytes) -> None:
        """Sends the texts of a sub-environment's action, before the action is posted."""
        worker = self._worker_of(env_index)
        worker.frames.send(Frame.TEXTS, ENV_INDEX.pack(env_index - worker.run[0]) + packed)

    def wait(self, timeout: float | None, doing: str) -> None:
        """Waits until every sub-environment that was sent an action is done, or its worker dead.

        Raises:
            CallTimeoutError: If that takes longer than `timeout` seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        if not self._waiter.wait(self._all_done, self._sleep_for_all, deadline):
            raise self._late(timeout, doing)
        if not ORDERED:
            fence()

    def wait_some(self, count: int, timeout: float | None, doing: str) -> npt.NDArray[np.bool_]:
        """Waits until so many sub-environments are done; returns which of them are.

        Raises:
            CallTimeoutError: If that takes longer than `timeout` seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout

        def look() -> bool:
            return bool(np.count_nonzero(self.done()) >= count)

        if not self._waiter.wait(look, lambda pause: self._sleep(pause, 1, look), deadline):
            raise self._late(timeout, doing)
        if not ORDERED:
            fence()
        return self.done()

    def done(self) -> npt.NDArray[np.bool_]:
        """Which sub-environments were sent an action, and have a result or a dead worker."""
        equal: npt.NDArray[np.bool_] = self._done == self._requested
        done: npt.NDArray[np.bool_] = equal[self._counters] & self.sent
        return done

    def take(self, env_indices: Iterable[int] | None = None) -> dict[int, Report]:
        """Takes results of sub-environments that are done: the reports that are not empty.

        Args:
            env_indices: Which; None: all.
        """
        if env_indices is None:
            self.sent[:] = False
            if self.memory[self._lengths] == self._no_lengths and not self.lost:
                return {}
            env_indices = range(len(self.sent))
        else:
            env_indices = list(env_indices)
            self.sent[env_indices] = False
        reports: dict[int, Report] = {}
        for env_index in env_indices:
            length = int(self._length[env_index])
            if not length:
                continue
            self._length[env_index] = 0
            if self._worker_of(env_index).number in self.lost:
                continue
            reports[env_index] = self._report(env_index, length)
        return reports

    def _report(self, env_index: int, length: int) -> Report:
        if length == OVERFLOW:
            return self._frame_of(env_index, Frame.REPORT)
        if length == FAILED:
            content = self._frame_of(env_index, Frame.FAILED)
            return _error(env_index, content) if content else b""
        start = self.plan.reports + env_index * INFO_BYTES
        return self.memory[start : start + min(length, INFO_BYTES)]

    def _frame_of(self, env_index: int, wanted: Frame) -> bytes:
        """A frame of a sub-environment, which has been sent or is being sent."""
        worker = self._worker_of(env_index)
        frames = worker.frames
        while True:
            for place, (kind, content) in enumerate(frames.frames):
                if kind == wanted and ENV_INDEX.unpack_from(content)[0] == env_index:
                    del frames.frames[place]
                    return content[ENV_INDEX.size :]
            if worker.process.dead or not frames.wait(1.0):
                self._lose(worker)
                return b""

    def command(self, kind: Frame, contents: dict[int, bytes], doing: str) -> list[bytes]:
        """Has workers execute a command; returns the parts of their answers, in order.

        Args:
            kind: The command.
            contents: What each is sent, by its number.
            doing: How messages name it.

        Raises:
            RlmeshError: The first failure, once all have answered.
        """
        workers = [self._workers[number] for number in contents if number not in self.lost]
        for worker in workers:
            self._send_command(worker, kind, contents[worker.number])
        answers: list[bytes] = []
        errors: list[RlmeshError] = []
        for worker in workers:
            answer = self._answer(worker, None)
            if answer is None:
                continue
            if isinstance(answer, RlmeshError):
                errors.append(answer)
            else:
                answers += answer
        if self.lost and kind is not Frame.CLOSE:
            errors = [self.crashed(doing), *errors]
        if errors:
            raise first_of(errors)
        return answers

    def _send_command(self, worker: Worker, kind: Frame, content: bytes) -> bool:
        """Sends a command, and then announces it; returns whether the worker is there."""
        there = worker.command(kind, content)
        place = self.plan.far_line(worker.number) + COMMANDS
        self.memory[place] = (self.memory[place] + 1) & 0xFF
        return there

    def _answer(self, worker: Worker, deadline: float | None) -> list[bytes] | RlmeshError | None:
        """Waits for a worker's answer to a command; None if it has died, or is late."""
        frames = worker.frames
        while True:
            for place, (kind, content) in enumerate(frames.frames):
                if kind not in (Frame.DONE, Frame.FAILED):
                    continue
                del frames.frames[place]
                worker.awaited -= 1
                if kind == Frame.DONE:
                    return split_parts(content)
                return _error(ENV_INDEX.unpack_from(content)[0], content[ENV_INDEX.size :])
            if deadline is not None and time.monotonic() >= deadline:
                return None
            pause = 1.0 if deadline is None else max(0.0, min(1.0, deadline - time.monotonic()))
            if not frames.wait(pause) or worker.process.dead:
                frames.receive()
                if any(kind in (Frame.DONE, Frame.FAILED) for kind, _ in frames.frames):
                    continue
                self._lose(worker)
                return None

    def settle(self) -> None:
        """Discards what was begun and not taken, and replaces the workers that have died.

        Workers that do not come to an end in a moment are ended.

        Raises:
            RlmeshError: If a worker cannot be replaced.
        """
        deadline = time.monotonic() + _GRACE_SECONDS
        if self.sent.any():
            with contextlib.suppress(CallTimeoutError):
                self.wait(_GRACE_SECONDS, "")
            self.take(np.flatnonzero(self.done()).tolist())
        for worker in self._workers:
            if not worker.process.going:
                self._lose(worker)
            while worker.awaited and worker.number not in self.lost and not worker.frames.broken:
                if self._answer(worker, deadline) is None:
                    break
            run = slice(*worker.run)
            if self.sent[run].any() or worker.awaited or worker.frames.broken:
                if worker.number not in self.lost:
                    worker.process.abandon("a reset did not wait any longer for its last call")
                    _log.warning("%s", worker.crash("the call before a reset"))
                    self._lose(worker)
                self.sent[run] = False
        for number in sorted(self.lost):
            self.replace(number)

    def replace(self, number: int) -> None:
        """Starts a worker in place of one that has died.

        Raises:
            RlmeshError: If it cannot be started, or makes other sub-environments.
        """
        old = self._workers[number]
        old.end()
        plan, memory = self.plan, self.memory
        line, far_line = plan.line(number), plan.far_line(number)
        memory[line : line + AT + 8] = bytes(AT + 8)
        memory[far_line + COMMANDS] = 0
        counters = slice(number * plan.stride, (number + 1) * plan.stride)
        self._done[counters] = self._requested[counters]
        self._length[slice(*old.run)] = 0
        worker = self._start(number, old.run)
        try:
            self._check_alike(worker, worker.await_contract(self._start_timeout))
        except BaseException:
            worker.process.kill("there is no sub-environment in it")
            worker.end()
            raise
        worker.introduce(self._descriptor, len(self.sent), len(self._workers))
        self._workers[number] = worker
        self.lost.discard(number)
        self._watch()
        _log.warning("a new worker for %s, in process %d", worker.name, worker.process.pid)

    def crashed(self, doing: str) -> EnvCrashedError:
        """The error for all workers that have died."""
        crashes = [self._workers[number].crash(doing) for number in sorted(self.lost)]
        first = crashes[0]
        first_of([*crashes])
        first.env_indices = tuple(index for crash in crashes for index in crash.env_indices)
        return first

    def account(self, number: int) -> str:
        """How a worker has died, which it waits for."""
        self._workers[number].end()
        return self._workers[number].process.account()

    def run_of(self, number: int) -> range:
        """The sub-environments of a worker."""
        return range(*self.plan.runs[number])

    def close(self, seconds: float) -> None:
        """Closes the sub-environments and ends the workers. May be called repeatedly.

        Args:
            seconds: How long that may take.
        """
        workers, self._workers = self._workers, []
        if self._forked:
            return
        deadline = time.monotonic() + seconds
        asked: list[Worker] = []
        for worker in workers:
            idle = not (worker.awaited or worker.frames.broken) and worker.number not in self.lost
            if seconds > 0 and idle and self._send_command(worker, Frame.CLOSE, b""):
                asked.append(worker)
        for worker in asked:
            answer = self._answer(worker, deadline)
            if isinstance(answer, RlmeshError):
                _log.error("%s", answer)
            elif answer is not None:
                worker.process.wait(max(0.0, deadline - time.monotonic()))
        for worker in workers:
            worker.process.kill("the vector environment was closed")
        for worker in workers:
            worker.end()

    def leave_to_parent(self) -> None:
        """Gives up what a forked process has inherited: the workers are its parent's."""
        self._forked = True
        self._close_descriptor()
        for worker in self._workers:
            worker.frames.close()

    @property
    def forked(self) -> bool:
        """Whether this process is a fork of the one that has the workers."""
        return self._forked

    def _start(self, number: int, run: tuple[int, int]) -> Worker:
        spec = WorkerSpec(
            factories=self._factories[number],
            first=run[0],
            mode=self.mode,
            argv=list(sys.argv),
            level=_log.getEffectiveLevel(),
        )
        return Worker(self._supervisor, pickle.dumps(spec), number, run)

    def _check_alike(self, worker: Worker, contract: EnvContract) -> None:
        other = differing_space(self.contract, contract)
        if other is not None:
            raise InvalidEnvError(f"sub-environments 0 and {worker.run[0]}: {other}")

    def _watch(self) -> None:
        self._poll = select.poll()
        self._polled: dict[int, Worker] = {}
        for worker in self._workers:
            if worker.number in self.lost:
                continue
            for descriptor in (worker.frames.fileno(), worker.process.lifeline):
                if descriptor is not None:
                    self._poll.register(descriptor, select.POLLIN)
                    self._polled[descriptor] = worker

    def _worker_of(self, env_index: int) -> Worker:
        return next(
            worker for worker in self._workers if worker.run[0] <= env_index < worker.run[1]
        )

    def _wake(self, workers: list[Worker]) -> None:
        memory = self.memory
        for worker, asleep in zip(workers, self._asleep, strict=True):
            if memory[asleep] or not ORDERED:
                worker.frames.ring()

    def _all_done(self) -> bool:
        memory = self.memory
        return memory[self._results] == memory[self._requests]

    def _sleep_for_all(self, seconds: float) -> None:
        self._sleep(seconds, 2, self._all_done)

    def _sleep(self, seconds: float, ring: int, look: Callable[[], bool]) -> None:
        """Sleeps until a worker rings or dies; `ring` says at what they ring."""
        memory = self.memory
        for place in self._rings:
            memory[place] = ring
        try:
            # After the flags are raised: a result that came before rings nothing.
            if look():
                return
            polled = self._polled
            for descriptor, _ in self._poll.poll(seconds * 1000):
                worker = polled[descriptor]
                if worker.number in self.lost:
                    continue
                if descriptor == worker.process.lifeline or not worker.frames.receive():
                    self._lose(worker)
        finally:
            for place in self._rings:
                memory[place] = 0

    def _lose(self, worker: Worker) -> None:
        """Notes that a worker has died, or is about to: nothing is awaited from it any more."""
        if worker.number in self.lost:
            return
        self.lost.add(worker.number)
        if not worker.process.wait(_GRACE_SECONDS):
            worker.process.kill("it does not answer")
        counters = slice(worker.number * self.plan.stride, (worker.number + 1) * self.plan.stride)
        self._done[counters] = self._requested[counters]
        worker.awaited = 0
        self._watch()

    def _late(self, timeout: float | None, doing: str) -> CallTimeoutError:
        """The error for workers that are not done: where each of them is."""
        pending = int(np.count_nonzero(self.sent & ~self.done()))
        return CallTimeoutError(
            f"{doing}: no result from {pending} of {len(self.sent)} sub-environments within "
            f"{timeout:g} s. {self.pending_stacks()}Wait again, or reset(), which ends a worker "
            f"that goes on"
        )

    def pending_stacks(self) -> str:
        """Where in the code the workers are that have not answered; empty if all have.

        Any thread may ask.
        """
        stacks: list[str] = []
        pending = self.sent & ~self.done()
        for worker in self._pending_workers():
            start, stop = worker.run
            place = self.plan.line(worker.number) + AT
            at = int.from_bytes(self.memory[place : place + 8], sys.byteorder)
            first = start + (at - 1 if at else int(np.argmax(pending[start:stop])))
            stacks.append(f"sub-environment {first} is at\n{worker.stack()}\n")
        return "".join(stacks)

    def abandon(self, why: str) -> bool:
        """Kills the workers that have not answered, so that the call that waits for them ends.

        Any thread may.

        Args:
            why: What goes into the message, after `its worker process was ended, as`.

        Returns:
            Whether there are any.
        """
        workers = self._pending_workers()
        for worker in workers:
            worker.process.abandon(why)
        return bool(workers)

    def _pending_workers(self) -> list[Worker]:
        pending = self.sent & ~self.done()
        return [
            worker
            for worker in list(self._workers)
            if worker.awaited or pending[slice(*worker.run)].any()
        ]

    def _kill(self, why: str) -> None:
        for worker in self._workers:
            worker.process.kill(why)
        for worker in self._workers:
            worker.end()


def _error(env_index: int, content: bytes) -> RlmeshError:
    failure = session_pb2.Failure.FromString(content)
    error = error_from_failure(failure, "the worker process")
    # A server passes the failure on as it is.
    error.__cause__ = CallFailedError(failure)
    error.__suppress_context__ = True
    if isinstance(error, RemoteEnvError):
        error.env_index = env_index
    return error


_pools: weakref.WeakSet[WorkerPool] = weakref.WeakSet()


def _leave_all_to_parent() -> None:
    for pool in list(_pools):
        pool.leave_to_parent()


os.register_at_fork(after_in_child=_leave_all_to_parent)
