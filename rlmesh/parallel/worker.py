"""One worker of a vector environment, from outside."""

from __future__ import annotations

import contextlib
import socket

from rlmesh.contract import EnvContract
from rlmesh.envs.raised import failed
from rlmesh.errors import EnvCrashedError, RlmeshError
from rlmesh.notes import add_note
from rlmesh.parallel.frames import Frame, FrameSocket
from rlmesh.parallel.worker_main import INTRODUCTION
from rlmesh.processes.control import ControlMessage
from rlmesh.processes.supervisor import Supervisor
from rlmesh.processes.worker_process import WorkerProcess
from rlmesh.transports.failures import error_of_making
from rlmesh_api.v1 import contract_pb2, env_service_pb2, session_pb2

__all__ = ["Worker"]

_PROGRAM = "rlmesh.parallel.worker_main"
# How long a status request waits for the worker's answer.
_STATUS_SECONDS = 0.15


class Worker:
    """A worker process and the socket to it. The thread that steps uses it.

    Args:
        supervisor: Where it is started and watched.
        spec: What it is to make, pickled.
        number: Its number among the workers.
        run: The first of its sub-environments, and the one after the last.

    Attributes:
        number: As given.
        run: As given.
        process: The process.
        frames: This side's end of the socket.
        awaited: How many commands were sent whose answers were not received.

    Raises:
        EnvCrashedError: If no process can be started.
    """

    def __init__(
        self, supervisor: Supervisor, spec: bytes, number: int, run: tuple[int, int]
    ) -> None:
        self.number: int = number
        self.run: tuple[int, int] = run
        self.awaited: int = 0
        try:
            self.process: WorkerProcess = WorkerProcess(supervisor, spec, _PROGRAM)
        except OSError as error:
            raise EnvCrashedError(
                f"no worker process could be started for {self.name}: {error}"
            ) from error
        self.frames: FrameSocket = FrameSocket(self.process.calls)

    @property
    def name(self) -> str:
        """Its sub-environments, for messages."""
        first, last = self.run[0], self.run[1] - 1
        return (
            f"sub-environment {first}" if first == last else f"sub-environments {first} to {last}"
        )

    def await_contract(self, timeout: float | None) -> EnvContract:
        """Waits until it has made its sub-environments; returns the contract of the first.

        Args:
            timeout: For how many seconds; None: for ever.

        Raises:
            RlmeshError: If it made none.
        """
        answer = self.process.wait_for_answer(timeout)
        if answer is None:
            self.process.kill(f"the environment was not there after {timeout} s")
            self.process.end()
            raise EnvCrashedError(f"{self.name} crashed while being made: {self.process.account()}")
        kind, content = answer
        if kind is ControlMessage.FAILURE:
            raise error_of_making(session_pb2.Failure.FromString(content))
        return EnvContract.from_proto(contract_pb2.EnvContract.FromString(content))

    def introduce(self, descriptor: int, num_envs: int, workers: int) -> None:
        """Sends it the segment; if it has died, the next wait says so."""
        words = INTRODUCTION.pack(num_envs, workers, self.number)
        with contextlib.suppress(OSError):
            socket.send_fds(self.process.calls, [words], [descriptor])

    def command(self, kind: Frame, content: bytes) -> bool:
        """Sends a command, whose answer is a frame; returns whether the worker is there."""
        self.awaited += 1
        return self.frames.send(kind, content)

    def stack(self) -> str:
        """Where in the code it is, the innermost frame last."""
        status = self.process.ask(_STATUS_SECONDS)
        if status is not None:
            return env_service_pb2.SessionStatus.FromString(status).stack.rstrip()
        return (
            f"  unknown, in native code that holds the interpreter lock of the worker process (pid "
            f"{self.process.pid})"
        )

    def crash(self, doing: str) -> EnvCrashedError:
        """The error for its death, which it waits for; releases what it holds."""
        self.end()
        text = f"{self.name} crashed in {doing}: {self.process.account()}"
        stack = self.process.last_stack
        if stack:
            text = f"{text}\nIt was at\n{stack.rstrip()}"
        cause = failed(
            session_pb2.ERROR_CODE_ENV_CRASHED,
            f"{text}\nThe episodes of {self.name} are gone; the next reset() starts them in a new "
            f"process",
        )
        error = EnvCrashedError(cause.failure.message)
        error.__cause__ = cause
        error.env_indices = tuple(range(*self.run))
        return error

    def end(self) -> None:
        """Waits for its end, kills it if need be, and closes the socket."""
        self.process.end()
        self.frames.close()


def first_of(errors: list[RlmeshError]) -> RlmeshError:
    """The first of several errors, with the messages of the others as notes."""
    first, *others = errors
    for other in others:
        add_note(first, f"and: {other}")
    return first
