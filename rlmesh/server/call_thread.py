"""A call thread: the one thread that makes, calls and closes an environment or a model.

MuJoCo, pygame and most simulators want every call from one and the same thread, and so does what
uses a GPU. The thread that runs `CallThread.run` is that thread; other threads hand it calls and
wait for the results.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from rlmesh.envs.forks import EndsInChild
from rlmesh.envs.frames import frame_of
from rlmesh.server.failures import CallFailedError, stack_text
from rlmesh.server.sessions.endpoint import Call, RunningCall, Source, ThreadStoppedError
from rlmesh_api.v1 import session_pb2

_log = logging.getLogger("rlmesh.server")

_LONGEST_WAIT = 0.5


class PostedCall:
    """A call that another thread has handed in; see `Call`.

    Attributes:
        seconds: How long it has taken.
    """

    __slots__ = ("_done", "_error", "_result", "_work", "name", "seconds", "sequence", "since")

    def __init__(self, work: Callable[[], Any], name: str, sequence: int) -> None:
        self.name: str = name
        self.sequence: int = sequence
        self.since: float = 0.0
        self.seconds: float = 0.0
        self._work = work
        self._result: Any = None
        self._error: BaseException | None = None
        # A bare lock is the cheapest thing to wait on: one wake-up, no condition around it.
        self._done = threading.Lock()
        self._done.acquire()

    def execute(self) -> None:
        """Does the work, and keeps what it raises for the caller that waits."""
        try:
            with EndsInChild():
                self._result = self._work()
        except BaseException as error:  # noqa: BLE001 - handed to the thread that asked
            self._error = error

    def finish(self, seconds: float = 0.0) -> None:
        """Ends the wait of the caller."""
        self.seconds = seconds
        # The lock is released already where the call was given up a moment ago.
        with contextlib.suppress(RuntimeError):
            self._done.release()

    def give_up(self, failure: session_pb2.Failure) -> bool:
        """Ends the wait of the caller while the work goes on; see `Call`."""
        if not self._done.locked():
            return False
        self._error = CallFailedError(failure)
        self.finish()
        return True

    def wait(self) -> Any:
        """What the work returned or raised, once it is done."""
        # A signal that arrives just before the wait does not end it, and Python runs the handler
        # only afterwards: Ctrl-C takes `_LONGEST_WAIT` seconds at most.
        while not self._done.acquire(timeout=_LONGEST_WAIT):
            pass
        if self._error is not None:
            raise self._error
        return self._result


class CallThread:
    """Runs calls one after the other on the thread that called `run`.

    `_lock` guards `_stopped`, and that no call is handed in after the end. Only the call thread
    writes `_source`, `_running` and `_last_used`.

    Args:
        name: The name of the thread that `start` starts.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: queue.SimpleQueue[PostedCall | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._stopped = False
        self._thread_id: int | None = None
        self._has_own_thread = False
        self._source: Source | None = None
        self._running: Call | None = None
        self._last_used = time.monotonic()

    @property
    def running(self) -> RunningCall | None:
        """The call in progress, if there is one, here or in a process that has a client's pipe."""
        running, source = self._running, self._source
        return source.running if running is None and source is not None else running

    @property
    def last_used(self) -> float:
        """When the last call ended, on the monotonic clock, in seconds."""
        source = self._source
        return self._last_used if source is None else max(self._last_used, source.last_used)

    @property
    def ready(self) -> bool:
        """Whether a thread runs calls."""
        return self._thread_id is not None

    @property
    def has_own_thread(self) -> bool:
        """Whether `start` has made a thread that runs calls until `stop`."""
        return self._has_own_thread

    @property
    def is_current(self) -> bool:
        """Whether this is the thread's own thread."""
        return threading.get_ident() == self._thread_id

    def start(self) -> None:
        """Starts a daemon thread that runs calls."""
        self._has_own_thread = True
        try:
            threading.Thread(target=self.run, name=self._name, daemon=True).start()
        except RuntimeError:
            self._has_own_thread = False
            raise

    def run(self) -> None:
        """Executes calls until `stop`; those that were handed in before it are still executed."""
        self._thread_id = threading.get_ident()
        try:
            while not self._run_calls():
                pass
        finally:
            self._thread_id = None
            if self._source is not None:
                self._source.release()
                self._source = None

    def _run_calls(self) -> bool:
        """Executes calls until `stop`; False if an error outside of a call ended a session."""
        monotonic = time.monotonic
        try:
            while (call := self._next()) is not None:
                call.since = monotonic()
                self._running = call
                call.execute()
                self._running = None
                now = self._last_used = monotonic()
                call.finish(now - call.since)
                # The last call of a session must not keep its memory until the next call.
                del call
        except Exception as error:
            # For instance no memory for a message. On the caller's thread it may also be what a
            # signal handler of the program has raised, which is the program's.
            if not (self._has_own_thread or isinstance(error, (MemoryError, OSError))):
                raise
            self._running = None
            _log.exception("an error outside of a call ends the session")
            source, self._source = self._source, None
            if source is not None:
                source.fail(error)
            return False
        return True

    def call(self, work: Callable[[], Any], *, name: str, sequence: int = 0) -> Any:
        """Has the thread execute `work`; returns or raises what it returns or raises.

        Raises:
            ThreadStoppedError: If the thread has been stopped.
            CallFailedError: If the call was given up.
        """
        return self.post(work, name=name, sequence=sequence).wait()

    def post(self, work: Callable[[], Any], *, name: str, sequence: int = 0) -> PostedCall:
        """Has the thread execute `work`, without waiting for it.

        Raises:
            ThreadStoppedError: If the thread has been stopped.
        """
        call = PostedCall(work, name, sequence)
        with self._lock:
            if self._stopped:
                raise ThreadStoppedError
            self._calls.put(call)
            self._ring()
        return call

    def attach(self, source: Source) -> None:
        """Takes calls from a source as well, until that is over. One at a time.

        Raises:
            ThreadStoppedError: If the thread has been stopped.
        """

        def take() -> None:
            if self._source is not None:
                self._source.release()
                self._last_used = self.last_used
            self._source = source

        self.post(take, name="attach")

    def detach(self) -> Source | None:
        """Takes no more calls from the source, and returns it. On the call thread."""
        source, self._source = self._source, None
        return source

    def adopt(self, source: Source | None) -> None:
        """Takes calls from what another thread has detached. On the call thread."""
        self._source = source

    def stop(self) -> None:
        """Ends `run` after the calls that were handed in so far. May be called repeatedly."""
        with self._lock:
            if not self._stopped:
                self._stopped = True
                self._calls.put(None)
                self._ring()

    def _next(self) -> Call | None:
        """The next call; None: stop."""
        while (source := self._source) is not None and self._calls.empty():
            call = source.receive()
            if call is not None:
                return call
            if source.over:
                self._last_used = self.last_used
                self._source = None
        return self._calls.get()

    def _ring(self) -> None:
        # A thread that attaches a source at this moment looks for calls before it waits for one.
        source = self._source
        if source is not None:
            source.ring()

    def stack(self) -> str:
        """Where in the code the thread is, the innermost frame last; empty between calls."""
        thread_id = self._thread_id
        if thread_id is None or self._running is None:
            return ""
        frame = frame_of(thread_id)
        return stack_text(frame) if frame is not None else ""
