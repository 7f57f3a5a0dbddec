"""A session over a port: its calls come to the environment's own thread, with no hop."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import Protocol

from google.protobuf.message import DecodeError

from rlmesh.lanes.port import BadFrameError, Outbox, Port, Woken
from rlmesh.lanes.wire import read_action
from rlmesh.server.requests import Answered, Request, damaged, failed_so, read_request

_log = logging.getLogger("rlmesh.server")


class Calls(Protocol):
    """Answers the calls of a session, on the environment's own thread."""

    def step(self, sequence: int, action: bytes, outbox: Outbox) -> Answered:
        """Executes a step with an action's slab, and writes the answer."""
        ...

    def answer(self, request: Request, outbox: Outbox) -> Answered:
        """Executes a call, and writes the answer."""
        ...

    def give_up(self, name: str, sequence: int, outbox: Outbox) -> Answered:
        """Writes the answer to a call that a shutdown does not wait for any longer."""
        ...

    def answered(self, seconds: float) -> bool:
        """Notes that an answer has left after that time; whether there may be further calls."""
        ...

    def end(self) -> None:
        """Ends the session, whose client cannot be understood or has said so."""
        ...


class PortSource:
    """Receives a session's calls through a port, and is the call in progress; see `Source`.

    Args:
        make_port: Makes the port; given a descriptor whose readability ends a wait as well.
        calls: Answers them.

    Attributes:
        over: Whether no more calls come.
        name: What the call in progress is called.
        sequence: Its number in the session.
        since: When it began, on the monotonic clock, in seconds.
        busy: Whether a call is in progress, or its answer on its way.
    """

    def __init__(
        self,
        make_port: Callable[[int], Port],
        calls: Calls,
    ) -> None:
        self.over: bool = False
        self.busy: bool = False
        self.name: str = ""
        self.sequence: int = 0
        self.since: float = 0.0
        self._lock = threading.Lock()
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        try:
            self._port = make_port(self._bell)
        except BaseException:
            os.close(self._bell)
            raise
        _sources.add(self)
        self._receive = self._port.receive
        self._calls = calls
        self._action: bytes | None = None
        self._request = Request("", 0)
        self._answer: Answered | None = None
        # Taken by whoever answers: the host when the call has returned, or a shutdown before.
        self._owing: list[bool] = []

    def receive(self) -> PortSource | None:
        """The next call; None if it is over, or the host is wanted for something else."""
        try:
            received = self._receive()
            if isinstance(received, tuple):
                buffer, start, end = received
                # A copy, which the other side cannot change while it is looked at.
                self._read(bytes(buffer[start:end]))
                self._owing = [True]
                self.busy = True
                return self
            if received is Woken.CALLED:
                os.eventfd_read(self._bell)
                return None
        except BadFrameError as error:
            _log.warning("a session ends, for its client sent what cannot be: %s", error)
            self._calls.end()
        except DecodeError as error:
            _log.warning("a session ends, for its client sent no message: %s", error)
            self._port.send(failed_so(0, damaged(error).failure).SerializeToString())
            self._port.finish()
            self._calls.end()
        self.release()
        return None

    def _read(self, message: bytes) -> None:
        step = read_action(message)
        if step is not None:
            self.name = "step"
            self.sequence, self._action = step
            return
        self._action = None
        request = self._request = read_request(message)
        self.name, self.sequence = request.name, request.sequence

    def execute(self) -> None:
        """Executes the call and writes its answer."""
        self._answer = None
        try:
            if self._action is not None:
                self._answer = self._calls.step(self.sequence, self._action, self._port)
            else:
                self._answer = self._calls.answer(self._request, self._port)
        except BaseException:  # noqa: BLE001 - interrupted by a shutdown, outside of the environment
            _log.debug("a call was given up")

    def finish(self, seconds: float) -> None:
        """Sends the answer."""
        if self._taken():
            self._send(self._answer, seconds)
        self.busy = False

    def give_up(self) -> None:
        """Sends the answer though the call has not returned."""
        if self._taken():
            self._send(None, time.monotonic() - self.since)
            # The environment may return after all, while the client reads this answer.
            self._port.divert()

    def ring(self) -> None:
        """Ends a `receive` that waits. Any thread may."""
        with self._lock:
            if not self.over:
                os.eventfd_write(self._bell, 1)

    def close(self) -> None:
        """Ends it; the client and a `receive` that waits notice at once. Any thread may."""
        self._port.close()

    def leave_to_parent(self) -> None:
        """Gives back what a forked process holds of its parent's port, which goes on."""
        self._port.leave_to_parent()

    def release(self) -> None:
        """Ends it for good; only the thread that receives may."""
        with self._lock:
            if not self.over:
                self.over = True
                os.close(self._bell)
        self._port.release()

    def _taken(self) -> bool:
        """Whether this thread is the one that answers."""
        try:
            return self._owing.pop()
        except IndexError:
            return False

    def _send(self, answer: Answered | None, seconds: float) -> None:
        if answer is None:
            answer = self._calls.give_up(self.name, self.sequence, self._port)
        start, end, over = answer
        self._port.post(start, end)
        if not self._calls.answered(seconds) or over:
            self._port.finish()
        if over:
            self._calls.end()


_sources: weakref.WeakSet[PortSource] = weakref.WeakSet()


def _in_forked_process() -> None:
    """A worker of the environment that outlives this process must not keep its clients waiting."""
    for source in list(_sources):
        source.leave_to_parent()


os.register_at_fork(after_in_child=_in_forked_process)
