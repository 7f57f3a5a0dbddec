"""A worker process that holds a model, and the pipes of sessions to it."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable

from rlmesh.processes.supervisor import Supervisor
from rlmesh.processes.worker_process import WorkerProcess
from rlmesh.transports.pipe import Pipe
from rlmesh.transports.worker import take_pipe

_PROGRAM = "rlmesh.server.models.process.worker_main"
KEY_BYTES = 8
"""The bytes of a session's key, with which its socket is handed over."""


class Line:
    """A session's pipe to a worker.

    Args:
        worker: The worker.
        pipe: The pipe.
        lifeline: A descriptor of the line's own that is readable when the worker has died; None
            where there is none.

    Attributes:
        worker: As given.
        pipe: As given.
    """

    def __init__(self, worker: ModelProcess, pipe: Pipe, lifeline: int | None) -> None:
        self.worker: ModelProcess = worker
        self.pipe: Pipe = pipe
        self._lifeline = lifeline
        if lifeline is not None:
            # A process that the model has forked may keep the pipe open after the worker's death.
            pipe.watch(lifeline)

    def release(self) -> None:
        """Ends the session's part of the worker, on the thread that uses the pipe."""
        self.pipe.release()
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None


class ModelProcess(WorkerProcess):
    """A worker; see `WorkerProcess`.

    `_channel_lock` lets one thread at a time hand a session over.

    Args:
        supervisor: Where it is started and watched.
        spec: What it is to make, pickled.
        on_death: Called on the supervisor's thread once it has died.

    Raises:
        OSError: If no process can be started.
    """

    def __init__(
        self, supervisor: Supervisor, spec: bytes, on_death: Callable[[ModelProcess], None]
    ) -> None:
        self._on_death = on_death
        self._channel_lock = threading.Lock()
        self._channel, theirs = socket.socketpair()
        with theirs:
            try:
                super().__init__(supervisor, spec, _PROGRAM, (theirs.fileno(),))
            except BaseException:
                self._channel.close()
                raise

    def open_line(self, key: int) -> Line:
        """Opens a session's pipe to the worker, which answers from a thread of its own.

        Args:
            key: The session's key.

        Raises:
            OSError: If the worker has gone.
            BadSegmentError: If what it sent is no segment.
        """
        mine, theirs = socket.socketpair()
        with theirs, self._channel_lock:
            try:
                socket.send_fds(self._channel, [key.to_bytes(KEY_BYTES, "big")], [theirs.fileno()])
            except BaseException:
                mine.close()
                raise
        try:
            pipe, _ = take_pipe(mine)
        except BaseException:
            mine.close()
            raise
        return Line(self, pipe, None if self.lifeline is None else os.dup(self.lifeline))

    def end(self) -> None:
        """Waits for its death, and closes what this side has; see `WorkerProcess`."""
        super().end()
        self._channel.close()

    def _bury(self) -> None:
        super()._bury()
        self._on_death(self)
