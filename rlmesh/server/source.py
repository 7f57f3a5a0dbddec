"""A session over a port: its calls come to the environment's own thread, with no hop."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from typing import TypeAlias

from google.protobuf.message import DecodeError

from rlmesh.lanes.port import BadFrameError, Outbox, Port, Woken
from rlmesh.server.requests import Answered, Request, read_request

_log = logging.getLogger("rlmesh.server")

Answer: TypeAlias = Callable[[Request, Outbox], Answered]


class PortSource:
    """Receives a session's calls through a port, and is the call in progress; see `Source`.

    Args:
        make_port: Makes the port; given a descriptor whose readability ends a wait as well.
        answer: Executes a call on this thread and writes its answer.
        give_up: Writes the answer to a call that a shutdown does not wait for any longer.
        answered: Notes that an answer has left; whether there may be further calls.
        took: Notes how many seconds a call has taken.

    Attributes:
        over: Whether no more calls come.
        name: What the call in progress is called.
        sequence: Its number in the session.
        since: When it began, on the monotonic clock, in seconds.
    """

    def __init__(
        self,
        make_port: Callable[[int], Port],
        answer: Answer,
        give_up: Answer,
        answered: Callable[[], bool],
        took: Callable[[float], None],
    ) -> None:
        self.over = False
        self.name = ""
        self.sequence = 0
        self.since = 0.0
        self._lock = threading.Lock()
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        try:
            self._port = make_port(self._bell)
        except BaseException:
            os.close(self._bell)
            raise
        self._receive = self._port.receive
        self._answer = answer
        self._give_up_answer = give_up
        self._answered = answered
        self._took = took
        self._request = Request("", 0)
        self._answer_is: Answered | None = None
        # Held by whoever answers: the host when the call has returned, or a shutdown before.
        self._answering = threading.Lock()
        self._owing = False

    def receive(self) -> PortSource | None:
        """The next call; None if it is over, or the host is wanted for something else."""
        try:
            received = self._receive()
            if isinstance(received, tuple):
                buffer, start, end = received
                # A copy, which the other side cannot change while it is looked at.
                request = self._request = read_request(bytes(buffer[start:end]))
                self.name, self.sequence = request.name, request.sequence
                self._owing = True
                return self
            if received is Woken.CALLED:
                os.eventfd_read(self._bell)
                return None
        except (BadFrameError, DecodeError) as error:
            _log.warning("a session ends, for its client sent what cannot be: %s", error)
        self.release()
        return None

    def execute(self) -> None:
        """Executes the call and writes its answer."""
        try:
            self._answer_is = self._answer(self._request, self._port)
        except BaseException:  # noqa: BLE001 - interrupted by a shutdown, outside of the environment
            self._answer_is = None

    def finish(self, seconds: float) -> None:
        """Sends the answer."""
        self._took(seconds)
        with self._answering:
            if self._owing:
                self._owing = False
                self._send(self._answer_is or self._give_up_answer(self._request, self._port))

    def give_up(self) -> None:
        """Sends the answer though the call has not returned."""
        with self._answering:
            if self._owing:
                self._owing = False
                self._send(self._give_up_answer(self._request, self._port))
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

    def release(self) -> None:
        """Ends it for good; only the thread that receives may."""
        with self._lock:
            if not self.over:
                self.over = True
                os.close(self._bell)
        self._port.release()

    def _send(self, answered: Answered) -> None:
        start, end, over = answered
        self._port.post(start, end)
        if not self._answered() or over:
            self._port.finish()
