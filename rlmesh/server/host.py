"""The host: the one thread that owns an environment.

MuJoCo, pygame and most simulators want every call from one and the same thread. Whichever thread
runs `Host.run` is that thread; everybody else hands it calls and waits for the results.
"""

from __future__ import annotations

import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class RunningCall:
    """The call that the environment is in.

    Attributes:
        name: `reset`, `step`, `render` or `close`.
        sequence: Its number in the session.
        since: When it began, on the monotonic clock, in seconds.
    """

    name: str
    sequence: int
    since: float

    @property
    def seconds(self) -> float:
        """For how long it has been running."""
        return time.monotonic() - self.since


class HostStoppedError(Exception):
    """The host takes no more calls."""


class _Job:
    __slots__ = ("done", "error", "name", "result", "sequence", "work")

    def __init__(self, work: Callable[[], Any], name: str, sequence: int) -> None:
        self.work = work
        self.name = name
        self.sequence = sequence
        self.result: Any = None
        self.error: BaseException | None = None
        # A bare lock is the cheapest thing to wait on: one wake-up, no condition around it.
        self.done = threading.Lock()
        self.done.acquire()


class Host:
    """Runs calls one after the other on the thread that called `run`."""

    def __init__(self) -> None:
        # SimpleQueue.put may be called from a signal handler.
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._stopped = False
        self._thread_id: int | None = None
        self._running: RunningCall | None = None
        self.idle_since = time.monotonic()

    @property
    def running(self) -> RunningCall | None:
        """The call in progress, if there is one."""
        return self._running

    def run(self) -> None:
        """Executes calls until `stop`; those that were handed in before it are still executed."""
        self._thread_id = threading.get_ident()
        try:
            while (job := self._jobs.get()) is not None:
                self._execute(job)
        finally:
            self._thread_id = None

    def call(self, work: Callable[[], Any], *, name: str, sequence: int = 0) -> Any:
        """Has the host thread execute `work`, and gives what it returns or raises.

        Raises:
            HostStoppedError: If the host has been stopped.
        """
        job = _Job(work, name, sequence)
        with self._lock:
            if self._stopped:
                raise HostStoppedError
            self._jobs.put(job)
        job.done.acquire()
        if job.error is not None:
            raise job.error
        return job.result

    def stop(self) -> None:
        """Ends `run` after the calls that were handed in so far. May be called repeatedly."""
        with self._lock:
            if not self._stopped:
                self._stopped = True
                self._jobs.put(None)

    def stack(self) -> str:
        """Where in the code the host thread is, the innermost frame last; empty between calls."""
        thread_id = self._thread_id
        if thread_id is None or self._running is None:
            return ""
        frame = sys._current_frames().get(thread_id)
        return "".join(traceback.format_stack(frame)) if frame is not None else ""

    def _execute(self, job: _Job) -> None:
        self._running = RunningCall(job.name, job.sequence, time.monotonic())
        try:
            job.result = job.work()
        except BaseException as error:  # noqa: BLE001 - handed to the thread that asked
            job.error = error
        finally:
            self._running = None
            self.idle_since = time.monotonic()
            job.done.release()
