"""The thread that executes one session's calls: the model's own while no other session is there."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

from rlmesh.server.call_thread import CallThread, PostedCall
from rlmesh.server.sessions.endpoint import RunningCall, Source, ThreadStoppedError


class SessionThread:
    """Executes the calls of a session on a host's thread, until it leaves that for its own.

    A call that the model's thread takes from the client itself wakes up no other thread. See
    `rlmesh.server.sessions.endpoint.SlotThread`. Any thread may use it.

    `_lock` guards `_thread`, `_released`, and that no call reaches the host once the session leaves
    it.

    Args:
        host: The thread of the model; None: the session begins with its own.
    """

    def __init__(self, host: CallThread | None) -> None:
        self._lock = threading.Lock()
        self._host = host
        self._released = False
        # Only the own thread sets it.
        self._moved = host is None
        self._thread = host or _started()

    @property
    def _calling(self) -> CallThread:
        """The thread that executes calls now: the host, until its last one for the session ends."""
        return self._thread if self._host is None or self._moved else self._host

    @property
    def running(self) -> RunningCall | None:
        """The call in progress, if there is one."""
        return self._calling.running

    @property
    def last_used(self) -> float:
        """When the last call ended, on the monotonic clock, in seconds."""
        return self._calling.last_used

    @property
    def ready(self) -> bool:
        """Whether a thread runs calls."""
        return self._calling.ready

    @property
    def has_own_thread(self) -> bool:
        """Whether there is a thread that runs calls until `stop`."""
        return self._calling.has_own_thread

    @property
    def is_current(self) -> bool:
        """Whether this is the thread that executes the calls."""
        return self._calling.is_current

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
        with self._lock:
            return self._thread.post(work, name=name, sequence=sequence)

    def attach(self, source: Source) -> None:
        """Takes calls from a source as well, in the place of the one before.

        Raises:
            ThreadStoppedError: If the thread has been stopped.
        """
        with self._lock:
            self._thread.attach(source)

    def leave_host(self, left: Callable[[], None]) -> None:
        """Has the session's own thread execute the calls that come from now on. Does not wait.

        Args:
            left: Called on the host's thread once that has executed the session's last call there.

        Raises:
            RuntimeError: If no thread can be started.
        """
        with self._lock:
            host = self._host
            if host is None or self._thread is not host or self._released:
                return
            own, sources = _started(), queue.SimpleQueue[Source | None]()

            def leave() -> None:
                sources.put(host.detach())
                left()

            def arrive() -> None:
                # What was handed in meanwhile waits behind this.
                own.adopt(sources.get())
                self._moved = True

            own.post(arrive, name="move")
            try:
                host.post(leave, name="move")
            except ThreadStoppedError:
                # The server ends.
                sources.put(None)
                own.stop()
                return
            self._thread = own

    def release(self) -> bool:
        """The session is over; whether the host has executed its calls to the end.

        The session's own thread ends after the calls that were handed in so far.
        """
        with self._lock:
            self._released = True
            hosted = self._thread is self._host
            if not hosted:
                self._thread.stop()
        return hosted

    def stop(self) -> None:
        """Ends the thread after the calls that were handed in so far; the host too."""
        with self._lock:
            self._thread.stop()


def _started() -> CallThread:
    thread = CallThread("rlmesh-model-session")
    thread.start()
    return thread
