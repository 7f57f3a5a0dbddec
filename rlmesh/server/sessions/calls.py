"""A session over a pipe: its calls come to the environment's own thread, with no hop."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from typing import TYPE_CHECKING, Protocol

from google.protobuf.message import DecodeError

from rlmesh.codec.step.wire import read_action, sequence_of
from rlmesh.server.envs.timings import CallTiming
from rlmesh.server.failures import failure_of, given_up, out_of_order
from rlmesh.server.sessions.requests import (
    Answered,
    Request,
    damaged,
    failed_so,
    read_request,
    write_answer,
)
from rlmesh.server.sessions.session import Session
from rlmesh.transports.pipe import BadFrameError, Outbox, Pipe, WakeReason
from rlmesh_api.v1 import session_pb2

if TYPE_CHECKING:
    from rlmesh.server.sessions.manager import SessionManager


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

    def lost(self, source: CallReceiver) -> None:
        """Notes that a source is over."""
        ...


class CallReceiver:
    """Receives a session's calls through a pipe, and is the call in progress; see `Source`.

    Args:
        pipe: The pipe. The receiver owns it, also where its construction fails.
        calls: Answers them.
        transport: The transport's name.
        process: The client's process id, where the system tells it; 0 where it does not.

    Attributes:
        over: Whether no more calls come.
        name: What the call in progress is called.
        sequence: Its number in the session.
        since: When it began, on the monotonic clock, in seconds.
        busy: Whether a call is in progress, or its answer on its way.
        transport: As given.
        process: As given.
    """

    def __init__(
        self,
        pipe: Pipe,
        calls: Calls,
        transport: str,
        process: int = 0,
    ) -> None:
        self.over: bool = False
        self.busy: bool = False
        self.name: str = ""
        self.sequence: int = 0
        self.since: float = 0.0
        self.transport: str = transport
        self.process: int = process
        self._lock = threading.Lock()
        self._pipe = pipe
        try:
            self._doorbell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        except OSError:
            pipe.release()
            raise
        pipe.watch(self._doorbell)
        _sources.add(self)
        self._receive = self._pipe.receive
        self._calls = calls
        self._action: bytes | None = None
        self._request = Request("", 0)
        self._answer: Answered | None = None
        # Taken by whoever answers: the thread when the call has returned, or who gives it up
        # before.
        self._owing: list[bool] = []

    def receive(self) -> CallReceiver | None:
        """The next call; None if it is over, or the thread is wanted for something else."""
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
            if received is WakeReason.CALLED:
                os.eventfd_read(self._doorbell)
                return None
        except BadFrameError as error:
            _log.warning("a session ends, for its client sent what cannot be: %s", error)
            self._calls.end()
        except DecodeError as error:
            _log.warning("a session ends, for its client sent no message: %s", error)
            self._pipe.send(failed_so(0, damaged(error).failure).SerializeToString())
            self._pipe.finish()
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
                self._answer = self._calls.step(self.sequence, self._action, self._pipe)
            else:
                self._answer = self._calls.answer(self._request, self._pipe)
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
                self._pipe.post(start, end)
                if not self._calls.answered(seconds) or over:
                    self._pipe.finish()
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
        message = self._pipe.last()
        sequence = sequence_of(message)
        return None if sequence is None else (sequence, message)

    def ring(self) -> None:
        """Ends a `receive` that waits. Any thread may."""
        with self._lock:
            if not self.over:
                os.eventfd_write(self._doorbell, 1)

    def close(self) -> None:
        """Ends it; the client and a `receive` that waits notice at once. Any thread may."""
        self._pipe.close()

    def leave_to_parent(self) -> None:
        """Gives back what a forked process holds of its parent's pipe, which goes on."""
        self._pipe.leave_to_parent()

    def release(self) -> None:
        """Ends it for good; only the thread that receives may."""
        with self._lock:
            first = not self.over
            if first:
                self.over = True
                os.close(self._doorbell)
        if first:
            self._calls.lost(self)
        self._pipe.release()

    def _taken(self) -> bool:
        """Whether this thread is the one that answers."""
        try:
            return self._owing.pop()
        except IndexError:
            return False

    def _put_aside(self, failure: session_pb2.Failure, seconds: float) -> None:
        """Sends a failure beside what the environment's thread may be writing."""
        self._pipe.send_out_of_band(failed_so(self.sequence, failure).SerializeToString())
        if not self._calls.answered(seconds):
            self._pipe.finish()


_sources: weakref.WeakSet[CallReceiver] = weakref.WeakSet()


def _in_forked_process() -> None:
    """A worker of the environment that outlives this process must not keep its clients waiting."""
    for source in list(_sources):
        source.leave_to_parent()


os.register_at_fork(after_in_child=_in_forked_process)


_log = logging.getLogger("rlmesh.server")

_CLIENTS_FAULT = (
    session_pb2.ERROR_CODE_PROTOCOL,
    session_pb2.ERROR_CODE_INVALID_ARGUMENT,
    session_pb2.ERROR_CODE_INVALID_ACTION,
)

# After these a client and its server have no common ground.
_ENDS = (session_pb2.ERROR_CODE_PROTOCOL, session_pb2.ERROR_CODE_INTERNAL)

# What must not be executed after a call that never came; a reset mends that, the rest only looks.
_BUILDS_ON = ("step", "step_many")


class SessionCalls:
    """Answers the calls of a session that come through a pipe; see `Calls`.

    Each call reaches the environment once: one that is repeated, as its answer was lost with a
    connection, is answered from what was kept.

    Args:
        manager: Who gives environments to clients.
        session: The session, which has begun.
        by_stream: Whether the pipe is the session's stream.
    """

    def __init__(
        self, manager: SessionManager, session: Session, *, by_stream: bool = False
    ) -> None:
        self._manager = manager
        self._session = session
        self._by_stream = by_stream
        backend = self._backend = session.slot.backend
        self._step = backend.step
        self._timing = self._step_timing = backend.timings.of("step")

    def step(self, sequence: int, action: bytes, outbox: Outbox) -> Answered:
        """Executes a step with an action's slab, and writes the answer."""
        session = self._session
        # Each side sets its own flag before it looks at the other's; see `SessionManager.drain`.
        session.in_call = True
        if session.barred is not None or sequence != session.sequence + 1:
            told = self._unusual("step", sequence, outbox)
            if told is not None:
                return told
        session.sequence = sequence
        self._timing = self._step_timing
        try:
            start, end = self._step(sequence, action, outbox)
        except Exception as error:  # noqa: BLE001 - a defect of ours must not hang its client
            return self._failed("step", sequence, failure_of(error), outbox)
        return start, end, False

    def answer(self, request: Request, outbox: Outbox) -> Answered:
        """Executes a call, and writes the answer."""
        session, sequence = self._session, request.sequence
        session.in_call = True
        if session.barred is not None or sequence != session.sequence + 1:
            told = self._unusual(request.kind, sequence, outbox)
            if told is not None:
                return told
        session.sequence = sequence
        self._timing = self._backend.timings.of(request.kind)
        try:
            if request.kind == "close":
                closed = session_pb2.CloseResult()
                response = session_pb2.SessionResponse(sequence=sequence, close=closed)
                # The next client may come as soon as this one knows that it has closed.
                self._manager.vacate(session)
                return *write_answer(response, outbox), True
            return *self._backend.answer(request, outbox), False
        except Exception as error:  # noqa: BLE001 - as above
            return self._failed(request.name, sequence, failure_of(error), outbox)

    def answered(self, seconds: float) -> bool:
        """Notes that an answer has left after that time; whether there may be further calls."""
        session, timing = self._session, self._timing
        session.in_call = False
        timing.count += 1
        timing.server += seconds
        if session.barred is None:
            return True
        # The stream as a pipe ends by itself, after its last answer.
        if session.line is not None and not self._by_stream:
            session.line.cancel()
        return False

    def attach(self, pipe: Pipe, transport: str, process: int) -> None:
        """Has the session's calls come through a pipe from now on; see `PipeOwner`."""
        self._manager.attach(self._session, CallReceiver(pipe, self, transport, process))

    def end(self) -> None:
        """Ends the session, whose client cannot be understood or has said so."""
        self._manager.end(self._session, by_stream=self._by_stream)

    def lost(self, source: CallReceiver) -> None:
        """Notes that a source is over."""
        self._manager.lost(self._session, source)

    def _unusual(self, kind: str, sequence: int, outbox: Outbox) -> Answered | None:
        """The answer to a call that may not be the next one; None if it is to be executed."""
        session = self._session
        self._timing = CallTiming()
        if session.barred is not None:
            return *write_answer(failed_so(sequence, session.barred), outbox), False
        last = session.sequence
        kept = session.answer_to(sequence) if sequence == last else None
        if kept is not None:
            start = outbox.reserved
            end = start + len(kept)
            outbox.reserve(end)[start:end] = kept
            return start, end, False
        # Numbers have gaps: a client may have given up a call before it sent it.
        lost = session.rejoined == last and sequence > last + 1 and kind in _BUILDS_ON
        if sequence > last and not lost:
            return None
        return self._failed(kind, sequence, out_of_order(sequence, last), outbox)

    def _failed(
        self, name: str, sequence: int, failure: session_pb2.Failure, outbox: Outbox
    ) -> Answered:
        session = self._session
        session.failures += 1
        # What the client did wrong is his to mend; what the environment did is its author's.
        _log.log(
            logging.WARNING if failure.code in _CLIENTS_FAULT else logging.ERROR,
            "session %s, call %d (%s): %s%s",
            session.id,
            sequence,
            name,
            failure.message,
            f"\n{failure.traceback}" if failure.traceback else "",
        )
        return *write_answer(failed_so(sequence, failure), outbox), failure.code in _ENDS
