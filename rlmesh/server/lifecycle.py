"""The lifecycle of a server: it begins once and ends once, however often it is asked."""

from __future__ import annotations

import atexit
import contextlib
import enum
import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from rlmesh.errors import StateError
from rlmesh.foreign_text import log_lines
from rlmesh.server.failures import TRACEBACK_LIMIT, given_up
from rlmesh.server.latch import Latch
from rlmesh.server.options import ServeOptions
from rlmesh.server.rpc.server import RpcServer
from rlmesh.server.sessions.endpoint import (
    Call,
    Provider,
    RunningCall,
    Slot,
    SlotThread,
    ThreadStoppedError,
)
from rlmesh.server.sessions.manager import SessionManager
from rlmesh.transports.system_resources import system_resources

_log = logging.getLogger("rlmesh.server")

# How long the last answer may take to leave, on a busy machine or to a slow client.
_LEAVING_SECONDS = 2.0
# How often a call is interrupted, and how long it may take to unwind each time.
_INTERRUPTIONS = 5
_UNWINDING_SECONDS = 0.2
# How often a shutdown whose time is over looks whether there is a call in flight at all.
_LOOK_SECONDS, _LONGEST_LOOK = 0.02, 0.5


class State(enum.Enum):
    """Where a server is in its life."""

    BOUND = "bound, not started"
    SERVING = "serving"
    DRAINING = "shutting down"
    CLOSED = "closed"


class OwnedThread(SlotThread, Protocol):
    """The thread of a slot, for the one that ends it."""

    @property
    def has_own_thread(self) -> bool:
        """Whether it runs calls until `stop`, without a caller that lends its thread."""
        ...

    def stop(self) -> None:
        """Ends the thread after the calls that were handed in so far. May be called repeatedly."""
        ...


class OwnedSlot(Slot, Protocol):
    """A slot, for the one that ends it."""

    @property
    def thread(self) -> OwnedThread:
        """The thread."""
        ...

    def close(self) -> None:
        """Closes what the slot serves, once, on its thread. What that raises is logged."""
        ...


class OwnedProvider(Provider, Protocol):
    """What has the slots of a server, for the one that begins and ends them.

    Attributes:
        on_caller: Whether `run` calls what is served.
    """

    on_caller: bool

    def all(self) -> Sequence[OwnedSlot]:
        """Every slot. Any thread may ask."""
        ...

    def start(self) -> None:
        """Starts the thread of every slot that has none."""
        ...

    def run(self) -> None:
        """Runs the slot that has no thread on the calling thread, until the end."""
        ...


class Lifecycle:
    """Begins and ends a server.

    One thread, `rlmesh-lifecycle`, waits for a reason to end, and then shuts everything down. The
    reason may come from a signal, a client, a thread of the program, what is served, or idleness.
    `end` takes no lock, because a signal handler may call it at any point of the main thread.

    Args:
        provider: Holds what is served.
        manager: Gives it to clients.
        rpc_server: Answers the clients.
        options: How long to wait for what.

    Attributes:
        state: Where the server is in its life.
        interrupt: Raises an exception in the call of what is served, if its argument, called at
            that moment, still returns True; returns whether that is possible. None: it is not.
    """

    def __init__(
        self,
        provider: OwnedProvider,
        manager: SessionManager,
        rpc_server: RpcServer,
        options: ServeOptions,
    ) -> None:
        self.state: State = State.BOUND
        self.interrupt: Callable[[Callable[[], bool]], bool] | None = None
        self._provider = provider
        self._manager = manager
        self._rpc_server = rpc_server
        self._options = options
        # Acquired once: by the first `begin`, or by a `shutdown` before any.
        self._unbegun = threading.Lock()
        self._reasons: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._ended = Latch()
        self._closer: int | None = None
        self._begun_at = time.monotonic()
        self._process = os.getpid()

    def begin(self, verb: str) -> None:
        """Begins, once.

        Args:
            verb: What the user called, for the message.

        Raises:
            StateError: If it has begun or ended before.
            SystemResourceError: If the system has no descriptor left. The server has ended then.
            RuntimeError: If the system allows no further thread. The server has ended then.
        """
        if not self._unbegun.acquire(blocking=False):
            raise StateError(
                f"{verb}: the server at {self._rpc_server.address} is {self.state.value}; a "
                f"server is started once, make a new one"
            )
        self.state = State.SERVING
        self._begun_at = time.monotonic()
        try:
            with system_resources(f"{verb}: {self._rpc_server.address}"):
                self._manager.start()
            # A daemon, so that a program that did not shut down can end; atexit does it then.
            threading.Thread(target=self._run, name="rlmesh-lifecycle", daemon=True).start()
        except BaseException:
            self._end(unbegun=True)
            raise
        atexit.register(self.shutdown)

    def end(self, reason: str) -> None:
        """Asks for the end, and returns. May be called repeatedly, from anywhere."""
        self._reasons.put(reason)

    def shutdown(self) -> None:
        """Ends, and returns when all is done; on the thread of what is served, at once."""
        if os.getpid() != self._process:
            # A forked process has this object, but neither its threads nor what is served.
            return
        if self._unbegun.acquire(blocking=False):
            self._end(unbegun=True)
            return
        self.end("shutdown")
        if not self.on_call_thread:
            self.wait(None)

    def wait(self, timeout: float | None) -> bool:
        """Waits for the end, `timeout` seconds at most; whether it has come."""
        return self._ended.wait(timeout)

    @property
    def on_call_thread(self) -> bool:
        """Whether this is a thread on which what is served is called."""
        if self._closer == threading.get_ident():
            return True
        return any(slot.thread.is_current for slot in self._provider.all())

    def _run(self) -> None:
        reason = self._await_reason()
        _log.info("the server at %s ends: %s", self._rpc_server.address, reason)
        self._end()

    def _await_reason(self) -> str:
        limit = self._options.idle_timeout_seconds
        if limit is None:
            return self._reasons.get()
        remaining = limit
        while True:
            with contextlib.suppress(queue.Empty):
                return self._reasons.get(timeout=remaining)
            idle = self._idle_seconds()
            if idle >= limit:
                return f"no request for {idle:.1f} s"
            remaining = limit - idle

    def _idle_seconds(self) -> float:
        """For how many seconds nothing has been called."""
        threads = [slot.thread for slot in self._provider.all()]
        if any(thread.running for thread in threads):
            return 0.0
        used = max((thread.last_used for thread in threads), default=0.0)
        return time.monotonic() - max(used, self._begun_at, self._manager.last_vacated)

    def _end(self, *, unbegun: bool = False) -> None:
        self.state = State.DRAINING
        try:
            self._rpc_server.drain()
            self._manager.drain()
            self._close(self._provider.all(), unbegun=unbegun)
        except Exception:  # noqa: BLE001 - a thread that waits for the end must not wait for ever
            _log.exception("a defect of RLMesh in a shutdown")
        finally:
            for slot in self._provider.all():
                slot.thread.stop()
            self._manager.wait_until_quiet(_LEAVING_SECONDS)
            self._rpc_server.stop()
            atexit.unregister(self.shutdown)
            self.state = State.CLOSED
            self._ended.open()
        _log.info("the server at %s has ended", self._rpc_server.address)

    def _close(self, slots: Sequence[OwnedSlot], *, unbegun: bool) -> None:
        """Closes every slot on its thread, side by side; where it has none, on this one."""
        closings: list[_Closing] = []
        for slot in slots:
            if unbegun and not slot.thread.has_own_thread:
                self._closer = threading.get_ident()
                slot.close()
                self._closer = None
                continue
            # A thread that has ended has closed what it served.
            with contextlib.suppress(ThreadStoppedError):
                closings.append(_Closing(slot))
        limit = self._options.drain_timeout_seconds
        for closing, deadline in [(each, _deadline(limit)) for each in closings]:
            late = closing.late(deadline, self._manager.cut)
            if late is not None:
                self._give_up(closing, late, limit, closing.begun)
        limit = self._options.close_timeout_seconds
        for closing, deadline in [(each, _deadline(limit)) for each in closings]:
            if closing.begun.is_set() and not closing.done.wait(_remaining(deadline)):
                self._give_up(closing, closing.call, limit, closing.done)

    def _give_up(
        self, closing: _Closing, call: RunningCall, limit: float | None, over: threading.Event
    ) -> None:
        slot = closing.slot
        _log.error(
            "the %s's %s() did not return within %s s; it is at\n    %s",
            self._provider.kind.noun,
            call.name,
            limit,
            log_lines(slot.stack(), TRACEBACK_LIMIT),
        )
        # Its client is answered now.
        call.give_up(given_up(call.name, self._provider.kind.noun))
        if slot.abandon(f"{call.name}() did not return within {limit} s"):
            over.wait(_LEAVING_SECONDS)
            return
        for _ in range(_INTERRUPTIONS):
            # One signal may arrive just before the call goes to sleep, and not wake it.
            if self.interrupt is None or not self.interrupt(lambda: slot.thread.running is call):
                over.wait(_LOOK_SECONDS)
                return
            if over.wait(_UNWINDING_SECONDS):
                return


class _Closing:
    """The closing of one slot, on its thread.

    Args:
        slot: Its slot.

    Attributes:
        slot: As given.
        call: The call that closes it.
        begun: Set when the slot is in no other call any more.
        done: Set when it is closed.

    Raises:
        ThreadStoppedError: If the slot's thread has ended, and closed it.
    """

    def __init__(self, slot: OwnedSlot) -> None:
        self.slot = slot
        self.begun = threading.Event()
        self.done = threading.Event()
        self.call: Call = slot.thread.post(self._close, name="close")

    def late(self, deadline: float | None, cut: Callable[[Slot], None]) -> RunningCall | None:
        """Waits for the thread to come to the closing; the call that has kept it for too long.

        Args:
            deadline: Until when a call may go on, on the monotonic clock; None: for ever.
            cut: Breaks the connections of the slot's session. A thread that is in no call sends an
                answer, and a client that does not read would keep it there for ever.
        """
        thread = self.slot.thread
        in_no_call_since: float | None = None
        while not self.begun.wait(_until(deadline)):
            running = thread.running
            if running is not None and running is not self.call:
                in_no_call_since = None
                if deadline is not None and time.monotonic() >= deadline:
                    return running
                continue
            now = time.monotonic()
            in_no_call_since = in_no_call_since or now
            if now - in_no_call_since >= _LEAVING_SECONDS:
                cut(self.slot)
        return None

    def _close(self) -> None:
        self.begun.set()
        try:
            self.slot.close()
        finally:
            self.done.set()


def _deadline(seconds: float | None) -> float | None:
    return None if seconds is None else time.monotonic() + seconds


def _remaining(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def _until(deadline: float | None) -> float:
    """How long to wait before the next look, in seconds."""
    remaining = _remaining(deadline)
    return _LONGEST_LOOK if remaining is None else max(_LOOK_SECONDS, min(_LONGEST_LOOK, remaining))
