"""The life of a server: it begins once and ends once, whoever asks, and how often."""

from __future__ import annotations

import atexit
import contextlib
import enum
import logging
import os
import queue
import threading
import time
from collections.abc import Callable

from rlmesh.errors import StateError
from rlmesh.server.desk import Desk
from rlmesh.server.failures import env_raised
from rlmesh.server.front import Front
from rlmesh.server.host import Call, Host
from rlmesh.server.latch import Latch
from rlmesh.server.options import ServeOptions

_log = logging.getLogger("rlmesh.server")

# How long the last answer may take to leave, on a busy machine or to a slow client.
_LEAVING_SECONDS = 2.0
# How often a call is interrupted, and how long it may take to unwind each time.
_INTERRUPTIONS = 5
_UNWINDING_SECONDS = 0.2
# How often a shutdown whose time is over looks whether there is a call in flight at all.
_LOOK_SECONDS = 0.02


class State(enum.Enum):
    """Where a server is in its life."""

    BOUND = "bound, not started"
    SERVING = "serving"
    DRAINING = "shutting down"
    CLOSED = "closed"


class Life:
    """Begins and ends a server.

    One thread waits for a reason to end, and then does everything that has to be done. So it makes
    no difference who asks: a signal, a client, a thread of the program, the environment itself, or
    idleness. Asking takes no lock, since a signal handler may do it wherever the main thread is.

    Args:
        close_env: Calls the environment's `close`.
        host: Where it is called.
        desk: Who gives it to clients.
        front: What answers them.
        options: How long to wait for what.

    Attributes:
        state: Where the server is in its life.
        interrupt: Raises an exception in the call that the environment is in, if the argument still
            says so, and tells whether there is a way to; None: there is none.
    """

    def __init__(
        self,
        close_env: Callable[[], None],
        host: Host,
        desk: Desk,
        front: Front,
        options: ServeOptions,
    ) -> None:
        self.state: State = State.BOUND
        self.interrupt: Callable[[Callable[[], bool]], bool] | None = None
        self._call_close = close_env
        self._host = host
        self._desk = desk
        self._front = front
        self._options = options
        # Taken by whoever is the first to begin this life, or to end it unbegun.
        self._unbegun = threading.Lock()
        self._reasons: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._ended = Latch()
        self._closer: int | None = None
        self._process = os.getpid()

    def begin(self, verb: str) -> None:
        """Begins, once.

        Args:
            verb: What the user called, for the message.

        Raises:
            StateError: If it has begun or ended before.
            RuntimeError: If there can be no further thread. The server has ended then.
        """
        if not self._unbegun.acquire(blocking=False):
            raise StateError(
                f"{verb}: the server at {self._front.address} is {self.state.value}; a server is "
                f"started once, make a new EnvServer"
            )
        self.state = State.SERVING
        self._host.last_used = time.monotonic()
        try:
            # A daemon, so that a program that forgot to shut down can end; atexit does it then.
            threading.Thread(target=self._run, name="rlmesh-life", daemon=True).start()
        except BaseException:
            self._end(self._close_here)
            raise
        atexit.register(self.shutdown)

    def end(self, reason: str) -> None:
        """Asks for the end, and returns. May be called repeatedly, from anywhere."""
        self._reasons.put(reason)

    def shutdown(self) -> None:
        """Ends, and returns when all is done; on the environment's own thread, at once."""
        if os.getpid() != self._process:
            # A forked process has the object, and neither the threads nor the environment.
            return
        if self._unbegun.acquire(blocking=False):
            self._end(self._close_here)
            return
        self.end("shutdown")
        if not self.on_env_thread:
            self.wait(None)

    def wait(self, timeout: float | None) -> bool:
        """Waits for the end, `timeout` seconds at most; whether it has come."""
        return self._ended.wait(timeout)

    @property
    def on_env_thread(self) -> bool:
        """Whether this is the thread on which the environment is called."""
        return self._host.is_current or self._closer == threading.get_ident()

    def _run(self) -> None:
        reason = self._await_reason()
        _log.info("the server at %s ends: %s", self._front.address, reason)
        self._end(self._close_on_host)

    def _await_reason(self) -> str:
        limit = self._options.idle_timeout_seconds
        if limit is None:
            return self._reasons.get()
        remaining = limit
        while True:
            with contextlib.suppress(queue.Empty):
                return self._reasons.get(timeout=remaining)
            idle = 0.0 if self._host.running else time.monotonic() - self._host.last_used
            if idle >= limit:
                return f"no request for {idle:.1f} s"
            remaining = limit - idle

    def _end(self, close: Callable[[], None]) -> None:
        self.state = State.DRAINING
        try:
            self._front.drain()
            self._desk.drain()
            close()
        except Exception:  # noqa: BLE001 - whoever waits for the end must not wait for ever
            _log.exception("a defect of RLMesh in a shutdown")
        finally:
            self._host.stop()
            self._desk.wait_until_free(_LEAVING_SECONDS)
            self._front.stop()
            atexit.unregister(self.shutdown)
            self.state = State.CLOSED
            self._ended.open()
        _log.info("the server at %s has ended", self._front.address)

    def _close_here(self) -> None:
        self._closer = threading.get_ident()
        self._close()
        self._closer = None

    def _close_on_host(self) -> None:
        begun, done = threading.Event(), threading.Event()

        def close() -> None:
            begun.set()
            try:
                self._close()
            finally:
                done.set()

        closing = self._host.post(close, name="close")
        late = self._late(begun, closing, self._options.drain_timeout_seconds)
        if late is not None:
            self._give_up(late, self._options.drain_timeout_seconds, begun)
        if begun.is_set() and not done.wait(self._options.close_timeout_seconds):
            self._give_up(closing, self._options.close_timeout_seconds, done)

    def _late(self, begun: threading.Event, closing: Call, limit: float | None) -> Call | None:
        """Waits for the host to come to the closing; the call that has kept it for too long."""
        while not begun.wait(limit):
            running = self._host.running
            if running is not None and running is not closing:
                return running
            # Nothing is in flight: the host is on its way.
            limit = _LOOK_SECONDS
        return None

    def _give_up(self, call: Call, limit: float | None, over: threading.Event) -> None:
        _log.error(
            "the environment's %s() did not return within %s s; it is at\n%s",
            call.name,
            limit,
            self._host.stack(),
        )
        # Its client is answered now.
        call.give_up()
        for _ in range(_INTERRUPTIONS):
            # One signal may arrive just before the call goes to sleep, and not wake it.
            if self.interrupt is None or not self.interrupt(lambda: self._host.running is call):
                over.wait(_LOOK_SECONDS)
                return
            if over.wait(_UNWINDING_SECONDS):
                return

    def _close(self) -> None:
        try:
            self._call_close()
        except BaseException as error:  # noqa: BLE001 - the server ends whatever its environment does
            failure = env_raised("the environment's close()", error).failure
            _log.error("%s\n%s", failure.message, failure.traceback)
