"""The calls of a session: received through a pipe and answered, both on the slot's thread."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from google.protobuf.message import DecodeError

from rlmesh.codec.step.wire import sequence_of
from rlmesh.foreign_text import LONGEST_TEXT, log_lines, one_line
from rlmesh.server.failures import (
    FATAL,
    TRACEBACK_LIMIT,
    failure_of,
    given_up,
    not_a_repetition,
    out_of_order,
)
from rlmesh.server.sessions.endpoint import Lender, LoanEnd, RunningCall, Timing
from rlmesh.server.sessions.kind import EndpointKind
from rlmesh.server.sessions.requests import (
    Answered,
    Request,
    damaged,
    failed_so,
    read_request,
    write_answer,
)
from rlmesh.server.sessions.session import Session
from rlmesh.transports.compression.pipe import CompressingPipe
from rlmesh.transports.copying import CopyReceiver, left_or_bytes
from rlmesh.transports.pipe import BadFrameError, Outbox, Pipe, Received, WakeReason
from rlmesh_api.v1 import session_pb2

_log = logging.getLogger("rlmesh.server")

# Failures that the client causes; others are the environment's or ours.
_CLIENT_ERRORS = (
    session_pb2.ERROR_CODE_PROTOCOL,
    session_pb2.ERROR_CODE_INVALID_ARGUMENT,
    session_pb2.ERROR_CODE_INVALID_ACTION,
)


@dataclass(slots=True)
class _NoTiming:
    """Takes the timing of a call that is not executed."""

    count: int = 0
    server: float = 0.0


class _FailedTiming:
    """Takes the timing of a call that has failed.

    Args:
        timing: That of the kind of the call.
        code: The error code of the failure, which is counted with the call.
    """

    __slots__ = ("_code", "_timing")

    def __init__(self, timing: Timing, code: int) -> None:
        self._timing = timing
        self._code = code

    @property
    def count(self) -> int:
        """As of the kind."""
        return self._timing.count

    @count.setter
    def count(self, count: int) -> None:
        failures = self._timing.failures
        failures[self._code] = failures.get(self._code, 0) + 1
        self._timing.count = count

    @property
    def server(self) -> float:
        """As of the kind."""
        return self._timing.server

    @server.setter
    def server(self, seconds: float) -> None:
        self._timing.server = seconds


class SessionCalls:
    """Answers the calls of a session. All methods run on the slot's thread, but for `attach`.

    Each call is executed once: a call that is repeated, because its answer was lost with a
    connection, is answered from what was kept.

    Args:
        session: The session; its slot has been entered.
        by_stream: Whether the calls come by the session's stream.

    Attributes:
        kind: What kind of endpoint answers.
    """

    def __init__(self, session: Session, *, by_stream: bool = False) -> None:
        self._session = session
        self._by_stream = by_stream
        backend = self._backend = session.slot.backend
        self.kind: EndpointKind = session.kind
        self._hot = backend.hot
        self._hot_call = self.kind.hot_call
        self._execute: Callable[[Request, Outbox], tuple[int, int]] = backend.answer
        spans = session.spans
        if spans is not None:
            self._execute = spans.answering(backend.answer)
            if self._hot_call == "predict":
                self._hot = spans.predicting(backend.hot)
        self._hot_timing: Timing = backend.timings.of(self._hot_call)
        # What takes the timing of the call in progress. Every call sets it, and so does a thread
        # that gives the call up.
        self._timing: Timing | _NoTiming | _FailedTiming = self._hot_timing

    def hot(self, sequence: int, payload: Any, outbox: Outbox) -> Answered:
        """Executes a hot call in the fixed form, and writes the answer."""
        # Station 6 of a step (docs/architecture.md): its number follows the last one, or the call
        # is a repetition. `in_call` is set before `refusal` is read; `Session.drain` does it the
        # other way round.
        session = self._session
        session.in_call = True
        if session.refusal is not None or sequence != session.sequence + 1:
            request = Request(self._hot_call, sequence, self._hot_call)
            answered = self._out_of_turn(request, outbox)
            if answered is not None:
                return answered
        session.sequence = sequence
        self._timing = self._hot_timing
        try:
            start, end = self._hot(sequence, payload, outbox)
        except Exception as error:  # noqa: BLE001 - a defect of ours must not hang its client
            return self._failed(self._hot_call, sequence, failure_of(error), outbox)
        watch = session.watch
        if watch is not None:
            watch.note(sequence, outbox, start, end)
        return start, end, False

    def answer(self, request: Request, outbox: Outbox) -> Answered:
        """Executes a call, and writes the answer."""
        session, sequence = self._session, request.sequence
        session.in_call = True
        if session.refusal is not None or sequence != session.sequence + 1:
            answered = self._out_of_turn(request, outbox)
            if answered is not None:
                return answered
        session.sequence = sequence
        session.last_request = request
        self._timing = self._backend.timings.of(request.kind)
        try:
            if request.kind == "close":
                closed = session_pb2.CloseResult()
                response = session_pb2.SessionResponse(sequence=sequence, close=closed)
                # The next client may come as soon as this one knows that it has closed.
                session.release()
                return *write_answer(response, outbox), True
            start, end = self._execute(request, outbox)
        except Exception as error:  # noqa: BLE001 - as above
            return self._failed(request.name, sequence, failure_of(error), outbox)
        watch = session.watch
        if watch is not None:
            watch.note(sequence, outbox, start, end, request)
        return start, end, False

    @property
    def lender(self) -> Lender | None:
        """Has another process answer calls by itself; None: this one answers all."""
        return self._backend.lender

    def lend(self, lender: Lender, pipe: Pipe, wake_fd: int) -> None:
        """Lends the session's pipe to another process until it comes back, if that takes it."""
        session = self._session
        end: LoanEnd | None = None
        try:
            if session.lends():
                end = lender.lend(pipe, session.sequence, wake_fd, resumes=session.resumes)
        finally:
            if not session.lent_until(end):
                pipe.finish()

    def answered(self, seconds: float) -> bool:
        """An answer has left after so many seconds; returns whether further calls may follow."""
        session, timing = self._session, self._timing
        session.in_call = False
        timing.count += 1
        timing.server += seconds
        if session.refusal is None:
            return True
        if not isinstance(timing, _NoTiming | _FailedTiming):
            session.count_last(timing)
        # A stream that carries the calls ends by itself after its last answer.
        stream = session.stream
        if stream is not None and not self._by_stream:
            stream.cancel()
        return False

    def note_failure(self, failure: session_pb2.Failure) -> None:
        """The call in progress is answered with a failure. On the thread that answers it."""
        timing = self._timing
        if not isinstance(timing, _NoTiming | _FailedTiming):
            self._timing = _FailedTiming(timing, failure.code)
        if self._session.spans is not None:
            self._session.spans.fail_call(failure)

    def attach(self, pipe: Pipe, transport: str, process: int) -> None:
        """Has the session's calls come through a pipe from now on; see `PipeOwner`."""
        self._session.attach(CallReceiver(pipe, self, transport, process))

    def end(self) -> None:
        """Ends the session: its client cannot be understood, or has closed it."""
        self._session.end(by_stream=self._by_stream)

    def fail(self, failure: session_pb2.Failure) -> None:
        """Ends the session, and says why."""
        self._session.failures += 1
        self._session.end(failure)

    def over(self, receiver: CallReceiver) -> None:
        """A receiver of these calls is over."""
        self._session.receiver_over(receiver)

    def _out_of_turn(self, request: Request, outbox: Outbox) -> Answered | None:
        """The answer to a call that may not be executed; None if it may."""
        session, sequence, kind = self._session, request.sequence, request.kind
        self._timing = _NoTiming()
        if session.refusal is not None:
            return *write_answer(failed_so(sequence, session.refusal), outbox), False
        last = session.sequence
        kept = session.answer_to(sequence) if sequence == last else None
        if kept is not None:
            if not session.repeats(request):
                return self._failed(kind, sequence, not_a_repetition(sequence), outbox)
            start = outbox.reserved
            end = start + len(kept)
            outbox.reserve(end)[start:end] = kept
            return start, end, False
        # Numbers may have gaps: a client may have given up a call before it sent it.
        lost = session.rejoined == last and sequence > last + 1 and kind in self._backend.dependent
        if sequence > last and not lost:
            return None
        return self._failed(kind, sequence, out_of_order(sequence, last), outbox)

    def _failed(
        self, name: str, sequence: int, failure: session_pb2.Failure, outbox: Outbox
    ) -> Answered:
        session = self._session
        session.failures += 1
        self.note_failure(failure)
        _log.log(
            logging.WARNING if failure.code in _CLIENT_ERRORS else logging.ERROR,
            "session %s, call %d (%s): %s%s",
            session.id,
            sequence,
            one_line(name),
            one_line(failure.message, LONGEST_TEXT),
            log_lines(f"\n{failure.traceback.rstrip()}", TRACEBACK_LIMIT)
            if failure.traceback
            else "",
        )
        return *write_answer(failed_so(sequence, failure), outbox), failure.code in FATAL


class CallReceiver:
    """Receives a session's calls through a pipe, and is the call in progress.

    It is the `Source` of the slot's thread and, for the time of a call, its `Call`; see
    `rlmesh.server.sessions.endpoint`.

    Args:
        pipe: The pipe. The receiver owns it, also where its construction fails.
        calls: Answers the calls.
        transport: The transport's name.
        process: The client's process id, where the system tells it, else 0.

    Attributes:
        over: Whether no more calls come.
        name: The name of the call in progress.
        sequence: Its number in the session.
        since: When it began, on the monotonic clock, in seconds.
        busy: Whether a call is in progress, or its answer is leaving.
        transport: As given.
        process: As given.
        by_stream: Whether the pipe is the session's stream.
    """

    by_stream = False

    def __init__(
        self,
        pipe: Pipe,
        calls: SessionCalls,
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
        # Guards `over` and the doorbell, which `ring` uses from any thread.
        self._lock = threading.Lock()
        self._pipe = pipe
        try:
            self._doorbell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        except OSError:
            pipe.release()
            raise
        pipe.watch(self._doorbell)
        _receivers.add(self)
        self._calls = calls
        lender = self._lender = None if self.by_stream else calls.lender
        self._receive: Callable[[], Received | WakeReason] = (
            pipe.receive if lender is None else partial(self._lend, lender)
        )
        self._own: Callable[[Any], Any] = bytes
        if calls.kind.slab_at is not None:
            self._own = left_or_bytes
            self._receive = CopyReceiver(self._receive, calls.kind.slab_at).receive
        self._read_hot = calls.kind.read_hot
        self._hot_call = calls.kind.hot_call
        self._payload: Any = None
        self._request = Request("", 0, "")
        self._answer: Answered | None = None
        self._error: Exception | None = None
        # Holds one element while a call has no answer. The thread that pops it answers: the slot's
        # thread when the call has returned, or the one that gives the call up. `pop` is atomic.
        self._unanswered: list[bool] = []

    def receive(self) -> CallReceiver | None:
        """The next call; None if the receiver is over, or `ring` was called."""
        try:
            received = self._receive()
            # Station 5 of a step (docs/architecture.md): the environment thread is awake.
            if isinstance(received, tuple):
                buffer, start, end = received
                # A copy, which the other side cannot change during the checks.
                message = buffer[start:end]
                if not isinstance(message, bytes):
                    message = self._own(message)
                hot = self._read_hot(message)
                if hot is not None:
                    self.name = self._hot_call
                    self.sequence, self._payload = hot
                else:
                    self._read(message)
                self._unanswered = [True]
                self.busy = True
                return self
            if received is WakeReason.CALLED:
                os.eventfd_read(self._doorbell)
                return None
        except BadFrameError as error:
            _log.warning("a session ends because its client sent an impossible frame: %s", error)
            self._calls.end()
        except DecodeError as error:
            _log.warning("a session ends because its client sent no valid message: %s", error)
            self._pipe.send(failed_so(0, damaged(error).failure).SerializeToString())
            self._pipe.finish()
            self._calls.end()
        self.release()
        return None

    @property
    def running(self) -> RunningCall | None:
        """The call that another process executes while this receives; see `Source`."""
        return None if self._lender is None else self._lender.running

    @property
    def last_used(self) -> float:
        """When the last such call ended; see `Source`."""
        return 0.0 if self._lender is None else self._lender.last_used

    def _lend(self, lender: Lender) -> Received | WakeReason:
        """Has another process answer calls, and receives the next one that it leaves to this."""
        self._calls.lend(lender, self._pipe, self._doorbell)
        return self._pipe.receive()

    def _read(self, message: bytes) -> None:
        self._payload = None
        request = read_request(bytes(message), self._calls.kind)
        compressed = request.message if request.kind == "compressed" else None
        if compressed is not None and not isinstance(self._pipe, CompressingPipe):
            # From the first on: a session whose calls are not compressed pays nothing.
            pipe = self._pipe = CompressingPipe(self._pipe)
            self._receive = pipe.receive
            message = pipe.read(compressed)
            hot = self._read_hot(message)
            if hot is not None:
                self.name = self._hot_call
                self.sequence, self._payload = hot
                return
            request = read_request(message, self._calls.kind)
        self._request = request
        self.name, self.sequence = request.name, request.sequence

    def execute(self) -> None:
        """Executes the call and writes its answer."""
        self._answer = self._error = None
        try:
            # Dropped with the call: a copy's memory takes the next message.
            payload, self._payload = self._payload, None
            if payload is not None:
                self._answer = self._calls.hot(self.sequence, payload, self._pipe)
            else:
                self._answer = self._calls.answer(self._request, self._pipe)
        except Exception as error:  # noqa: BLE001 - the client is answered, whatever goes wrong
            _log.exception("call %d (%s) failed in RLMesh itself", self.sequence, self.name)
            self._error = error
        except BaseException:  # noqa: BLE001 - interrupted by a shutdown, outside of the user's code
            _log.debug("a call was given up")

    def finish(self, seconds: float) -> None:
        """Sends the answer."""
        # As `_claim`, without its frame: every step passes here.
        try:
            claimed = self._unanswered.pop()
        except IndexError:
            claimed = False
        if claimed:
            if self._error is not None:
                self._send_failure(failure_of(self._error), seconds)
            elif self._answer is None:
                self._send_failure(given_up(self.name, self._calls.kind.noun), seconds)
            else:
                start, end, over = self._answer
                self._pipe.post(start, end)
                if not self._calls.answered(seconds) or over:
                    self._pipe.finish()
                if over:
                    self._calls.end()
        self.busy = False

    def give_up(self, failure: session_pb2.Failure) -> bool:
        """Answers with a failure while the call goes on; see `Call`. Any thread may."""
        if not self._claim():
            return False
        self._send_failure(failure, time.monotonic() - self.since)
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
        """Ends it for good. Only the thread that receives may."""
        with self._lock:
            first = not self.over
            if first:
                self.over = True
                os.close(self._doorbell)
        if first:
            self._calls.over(self)
        self._pipe.release()

    def fail(self, error: Exception) -> None:
        """Ends the session because of an error outside of a call's work; see `Source`."""
        self.busy = False
        self._calls.fail(failure_of(error))
        self.release()

    def _claim(self) -> bool:
        """Whether this thread is the one that answers the call."""
        try:
            return self._unanswered.pop()
        except IndexError:
            return False

    def _send_failure(self, failure: session_pb2.Failure, seconds: float) -> None:
        """Sends a failure, while the slot's thread may be writing an answer."""
        self._calls.note_failure(failure)
        self._pipe.send_out_of_band(failed_so(self.sequence, failure).SerializeToString())
        if not self._calls.answered(seconds):
            self._pipe.finish()


_receivers: weakref.WeakSet[CallReceiver] = weakref.WeakSet()


def _in_forked_process() -> None:
    """A worker of the environment that outlives this process must not keep its clients waiting."""
    for receiver in list(_receivers):
        receiver.leave_to_parent()


os.register_at_fork(after_in_child=_in_forked_process)
