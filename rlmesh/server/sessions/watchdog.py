"""The watchdog: ends what has lasted for longer than the options say."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import threading
import time
from collections.abc import Callable, Iterable

from rlmesh.foreign_text import log_lines
from rlmesh.server.failures import TRACEBACK_LIMIT, died, idle, lost_for, overdue
from rlmesh.server.options import ServeOptions
from rlmesh.server.sessions.session import Session
from rlmesh_api.v1 import session_pb2

_log = logging.getLogger("rlmesh.server")

# In seconds; `poll` takes no such number of milliseconds as users may give.
_LONGEST_WAIT = 3600.0
# For so long may a call go on whose session is over, before it is ended by force, if there is a way
# to.
_UNWANTED_SECONDS = 5.0
# How long the watchdog waits after an error, for instance for memory.
_RETRY_SECONDS = 1.0


class Watchdog:
    """Looks after the sessions, on its own thread, when something may be due.

    A session that has lost its connection ends when its client does not come back in time, and at
    once when the client's process is dead, where the system tells which process that is. A session
    without calls ends after a while. A call that takes too long is answered while it goes on.

    The thread and its descriptor are made before the first session: when one is lost, the system
    may have neither to give.

    Args:
        options: How long is too long.
        sessions: Returns the sessions.

    Attributes:
        watches_connected: Whether there is a limit for sessions that have a connection.
    """

    def __init__(self, options: ServeOptions, sessions: Callable[[], list[Session]]) -> None:
        self._grace: float = options.resume_timeout_seconds
        self._idle_limit = options.session_idle_timeout_seconds
        self._call_limit = options.call_timeout_seconds
        self.watches_connected: bool = self._idle_limit is not None or self._call_limit is not None
        self._sessions = sessions
        # Guards the two below; `_run` alone closes the doorbell.
        self._lock = threading.Lock()
        self._doorbell: int | None = None
        self._closed = False

    def start(self) -> None:
        """Begins to look after the sessions, once.

        Raises:
            OSError: If there is no descriptor.
            RuntimeError: If there is no thread.
        """
        doorbell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        thread = threading.Thread(
            target=self._run, args=(doorbell,), name="rlmesh-watchdog", daemon=True
        )
        with self._lock:
            self._doorbell = doorbell
        try:
            thread.start()
        except BaseException:
            self._discard(doorbell)
            raise

    def look_again(self) -> None:
        """Has the thread look at the sessions. Any thread may."""
        with self._lock:
            if self._doorbell is not None:
                os.eventfd_write(self._doorbell, 1)

    def close(self) -> None:
        """Stops the thread. May be called repeatedly."""
        self._closed = True
        self.look_again()

    def _run(self, doorbell: int) -> None:
        dead: set[int] = set()
        while not self._closed:
            try:
                seconds, watched = self._look(dead)
                dead = _wait(doorbell, seconds, watched)
            except Exception:  # noqa: BLE001 - the other sessions need it
                # It looks after the other sessions all the same, and after this one again soon.
                _log.exception("the watchdog of the sessions failed, and goes on")
                dead = set()
                threading.Event().wait(_RETRY_SECONDS)
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(doorbell)
        self._discard(doorbell)

    def _discard(self, doorbell: int) -> None:
        with self._lock:
            self._doorbell = None
            os.close(doorbell)

    def _look(self, dead: set[int]) -> tuple[float, set[int]]:
        """Does what is due; returns the seconds until the next, and what to watch."""
        soonest, watched = _LONGEST_WAIT, set[int]()
        grace = self._grace
        for session in self._sessions():
            if session.ended_at:
                rest = _UNWANTED_SECONDS - (time.monotonic() - session.ended_at)
                call = session.slot.thread.running
                if rest > 0:
                    soonest = min(soonest, rest)
                elif call is not None and call.sequence != 0:
                    # A call without a number is the server's own, as `close`: it may take longer.
                    session.slot.abandon("no client waits for its call any more")
                continue
            lost_since = session.lost_since
            if lost_since is not None:
                rest = grace - (time.monotonic() - lost_since)
                if rest <= 0 or session.process in dead:
                    why = died() if session.process in dead else lost_for(grace)
                    _expire(session, lost_since, why)
                    continue
                soonest = min(soonest, rest)
                watched |= {session.process} - {0}
            elif self._idle_limit is not None:
                rest = self._idle_limit - session.idle_seconds()
                if rest <= 0:
                    _expire(session, None, idle(self._idle_limit))
                    continue
                soonest = min(soonest, rest)
            if self._call_limit is not None:
                soonest = min(soonest, self._look_at_call(session, self._call_limit))
        return max(0.0, soonest), watched

    def _look_at_call(self, session: Session, limit: float) -> float:
        """Answers a call that is overdue; returns in how many seconds the next one may be."""
        call = session.slot.thread.running
        # Calls without a number are the server's own, as the making of an environment.
        if call is None or call.sequence == 0:
            return limit
        rest = limit - (time.monotonic() - call.since)
        if rest > 0:
            return rest
        reason = f"{call.name}() did not return within {limit:g} s"
        if session.slot.abandon(reason, starting=False):
            return limit
        if call.give_up(overdue(call.name, limit, session.kind.noun)):
            session.failures += 1
            _log.error(
                "session %s, call %d (%s) did not return within %g s; it is at\n    %s",
                session.id,
                call.sequence,
                call.name,
                limit,
                log_lines(session.slot.stack(), TRACEBACK_LIMIT),
            )
        return limit


def _expire(session: Session, lost_since: float | None, why: session_pb2.Failure) -> None:
    if session.expire(lost_since, why):
        _log.info("session %s: %s", session.id, why.message)


def _wait(doorbell: int, seconds: float, processes: Iterable[int]) -> set[int]:
    """Waits for the doorbell, the end of the time or a process's death; returns the dead ones."""
    dead: set[int] = set()
    with contextlib.ExitStack() as stack:
        poll = select.poll()
        poll.register(doorbell, select.POLLIN)
        watched: dict[int, int] = {}
        for process in processes:
            try:
                descriptor = os.pidfd_open(process)
            except ProcessLookupError:
                dead.add(process)
            except OSError as error:
                _log.debug("the process %d cannot be watched: %s", process, error)
            else:
                stack.callback(os.close, descriptor)
                watched[descriptor] = process
                poll.register(descriptor, select.POLLIN)
        found = poll.poll(0 if dead else 1000 * seconds)
        dead |= {watched[each] for each, _ in found if each in watched}
    return dead
