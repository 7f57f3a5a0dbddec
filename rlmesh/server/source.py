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
from rlmesh.lanes.wire import read_action, sequence_of
from rlmesh.server.refusals import given_up
from rlmesh.server.requests import Answered, Request, damaged, failed_so, read_request
from rlmesh_api.v1 import session_pb2

_log = logging.getLogger("rlmesh.server")


class Calls(Protocol):
    """Answers the calls of a session, on the environment's own thread."""

    def step(self, sequence: int, action: bytes, outbox: Outbox) -> Answered:
        """Executes a step with an action's slab, and writes the answer."""
        ...

    def answer(self, request: Request, outbox: Outbox) -> Answered:
        """Executes a call, and writes the answer."""
        ...

    def answered(self, seconds: float) -> bool:
        """Notes that an answer has left after that time; whether there may be further calls."""
        ...

    def end(self) -> None:
        """Ends the session, whose client cannot be understood or has said so."""
        ...

    def lost(self, source: PortSource) -> None:
        """Notes that a source is over."""
        ...


class PortSource:
    """Receives a session's calls through a port, and is the call in progress; see `Source`.

    Args:
        make_port: Makes the port; given a descriptor whose readability ends a wait as well.
        calls: Answers them.
        lane: The lane's name.
        process: The client's process id, where the system tells it; 0 where it does not.

    Attributes:
        over: Whether no more calls come.
        name: What the call in progress is called.
        sequence: Its number in the session.
        since: When it began, on the monotonic clock, in seconds.
        busy: Whether a call is in progress, or its answer on its way.
        lane: As given.
        process: As given.
    """

    def __init__(
        self,
        make_port: Callable[[int], Port],
        calls: Calls,
        lane: str,
        process: int = 0,
    ) -> None:
        self.over: bool = False
        self.busy: bool = False
        self.name: str = ""
        self.sequence: int = 0
        self.since: float = 0.0
        self.lane: str = lane
        self.process: int = process
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
        # Taken by whoever answers: the host when the call has returned, or who gives it up before.
        self._owing: list[bool] = []

    def receive(self) -> PortSource | None:
        """The next call; None if it is over, or the host is wanted for something else."""
        try:
            received = self._receive()
            if isinstance(received, tuple):
                buffer, start, end = received
                # A copy, which the other side cannot change while it is looked at.
                message = buffer[start:end]
                if not isinstance(message, bytes):
                    message = bytes(message)
                step = read_action(message)
                if step is not None:
                    self.name = "step"
                    self.sequence, self._action = step
                else:
                    self._read(message)
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
        # `_taken`, in this frame: here passes every step.
        try:
            taken = self._owing.pop()
        except IndexError:
            taken = False
        if taken:
            if self._answer is None:
                self._put_aside(given_up(self.name), seconds)
            else:
                start, end, over = self._answer
                self._port.post(start, end)
                if not self._calls.answered(seconds) or over:
                    self._port.finish()
                if over:
                    self._calls.end()
        self.busy = False

    def give_up(self, failure: session_pb2.Failure) -> bool:
        """Answers with a failure, though the call has not returned; see `Call`."""
        if not self._taken():
            return False
        self._put_aside(failure, time.monotonic() - self.since)
        return True

    def kept(self) -> tuple[int, bytes] | None:
        """The number of the call that was answered last, and a copy of its answer.

        Only the thread that receives may ask, between calls.
        """
        message = self._port.last()
        sequence = sequence_of(message)
        return None if sequence is None else (sequence, message)

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
            first = not self.over
            if first:
                self.over = True
                os.close(self._bell)
        if first:
            self._calls.lost(self)
        self._port.release()

    def _taken(self) -> bool:
        """Whether this thread is the one that answers."""
        try:
            return self._owing.pop()
        except IndexError:
            return False

    def _put_aside(self, failure: session_pb2.Failure, seconds: float) -> None:
        """Sends a failure beside what the environment's thread may be writing."""
        self._port.send_aside(failed_so(self.sequence, failure).SerializeToString())
        if not self._calls.answered(seconds):
            self._port.finish()


_sources: weakref.WeakSet[PortSource] = weakref.WeakSet()


def _in_forked_process() -> None:
    """A worker of the environment that outlives this process must not keep its clients waiting."""
    for source in list(_sources):
        source.leave_to_parent()


os.register_at_fork(after_in_child=_in_forked_process)
