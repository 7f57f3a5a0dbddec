"""The session manager opens sessions, finds them by their secret, and ends them."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from rlmesh.server.failures import CallFailedError, draining, env_raised, gone
from rlmesh.server.options import ServeOptions
from rlmesh.server.sessions.admission import Admission
from rlmesh.server.sessions.calls import SessionCalls
from rlmesh.server.sessions.connections import SessionStream
from rlmesh.server.sessions.endpoint import Provider, Slot, ThreadStoppedError, Timing
from rlmesh.server.sessions.kind import EndpointKind
from rlmesh.server.sessions.opening import busy, check_generation, check_seconds
from rlmesh.server.sessions.session import Session
from rlmesh.server.sessions.totals import Totals, outcome_of
from rlmesh.server.sessions.watchdog import Watchdog
from rlmesh.server.sessions.watching import Watching
from rlmesh.tracing import configured_tracer
from rlmesh.transports.peer import describe
from rlmesh.transports.spin_policy import SpinPolicy
from rlmesh_api.v1 import session_pb2

if TYPE_CHECKING:
    from rlmesh.server.sessions.spans import SessionSpans

_log = logging.getLogger("rlmesh.server")

# For how many ended sessions the reason is kept.
_REMEMBERED = 256


class SessionManager:
    """Gives slots to clients, each to one client at a time.

    `_lock` guards `_sessions`, `_over`, `_streams`, `_totals`, `_ended` and `_draining`. A
    session's own lock is never waited for while it is held.

    Args:
        provider: Where the slots are.
        options: For how long what is kept.
        counts: Whether what sessions have done is added up when they end, for `totals`.

    Attributes:
        last_vacated: When a session ended last, on the monotonic clock, in seconds.
        watching: Shows the sessions to those who watch.
    """

    def __init__(self, provider: Provider, options: ServeOptions, *, counts: bool = False) -> None:
        self.last_vacated: float = 0.0
        self._provider = provider
        self._grace = options.resume_timeout_seconds
        self._lock = threading.Lock()
        self._sessions: dict[str, Session] = {}
        self._over: deque[tuple[bytes, session_pb2.Failure]] = deque(maxlen=_REMEMBERED)
        self._streams: set[SessionStream] = set()
        self._quiet = threading.Event()
        self._quiet.set()
        # Of the sessions that are over.
        self._counts = counts
        self._totals = Totals()
        self._ended = 0
        self._admission = Admission(provider.capacity)
        self._watchdog = Watchdog(options, self.sessions)
        self.watching: Watching = Watching(self.sessions)
        self._draining = False
        self._tracer = configured_tracer()

    @property
    def kind(self) -> EndpointKind:
        """What kind of endpoint it is."""
        return self._provider.kind

    @property
    def capacity(self) -> int:
        """How many sessions there can be at once."""
        return self._provider.capacity

    @property
    def draining(self) -> bool:
        """Whether the server ends: it takes no new session and no new call."""
        return self._draining

    def sessions(self) -> list[Session]:
        """The sessions, the oldest first."""
        with self._lock:
            return list(self._sessions.values())

    def slots(self) -> list[Slot]:
        """Every slot."""
        return list(self._provider.all())

    def start(self) -> None:
        """Starts the watchdog, before the first session.

        Raises:
            OSError: If there is no descriptor for it.
            RuntimeError: If there is no thread for it.
        """
        self._watchdog.start()

    def totals(self) -> Totals:
        """What all sessions have done so far, those that are over included. Any thread may ask."""
        while True:
            with self._lock:
                totals, ended = self._totals.copy(), self._ended
                sessions = list(self._sessions.values())
            backends = [(each.slot, each.slot.made) for each in sessions]
            totals.add_all((slot, made) for slot, made in backends if made is not None)
            # A session that ended meanwhile may have left its backend to the next one, and would
            # be missing here.
            if ended == self._ended:
                return totals

    def open(
        self,
        call: session_pb2.OpenCall,
        stream: SessionStream,
        trace: session_pb2.TraceContext | None = None,
    ) -> Session:
        """Gives a slot to a client, which may wait for one. On the stream's thread.

        Args:
            call: What the client asks for.
            stream: Its stream.
            trace: Where the call stands in a trace of the client.

        Raises:
            CallFailedError: If there is no place, the server is draining, the client speaks no
                generation that this server knows or waits for a time that is none, or the slot
                cannot do what the client asks for.
        """
        spans = self._spans(trace)
        try:
            return self._open(call, stream, spans)
        except CallFailedError as error:
            self._count_refused(error.failure)
            if spans is not None:
                spans.end(error.failure)
            raise

    def _spans(self, trace: session_pb2.TraceContext | None) -> SessionSpans | None:
        if self._tracer is None:
            return None
        # Only here: OpenTelemetry may not be installed.
        from rlmesh.server.sessions.spans import SessionSpans

        return SessionSpans(self._tracer, self.kind.service, trace or session_pb2.TraceContext())

    def _open(
        self, call: session_pb2.OpenCall, stream: SessionStream, spans: SessionSpans | None
    ) -> Session:
        check_generation(call.protocol_generation)
        check_seconds(call)
        self._provider.check(call)
        if not stream.active:
            # Also a client that gave up while this process was stopped: its session would hold a
            # place, and nobody would know the secret.
            raise CallFailedError(gone())
        with self._lock:
            former = self._find(call.replaces)
        vacate = None if former is None else former.end
        if not self._admission.take(call.wait_seconds, stream.on_end, vacate):
            if self._draining:
                raise CallFailedError(draining())
            noun = self._provider.kind.noun
            raise CallFailedError(busy(self.sessions(), self.capacity, call.wait_seconds, noun))
        session = Session(
            call.peer,
            self._take(call),
            stream,
            kind=self._provider.kind,
            resumes=call.resumes and self._grace > 0,
            owner=self,
            spans=spans,
        )
        with self._lock:
            self._sessions[session.id] = session
            SpinPolicy.joined(session)
            self._add_stream(stream)
            refused = self._draining
        try:
            if refused:
                raise CallFailedError(draining())
            session.slot.thread.call(lambda: self._enter(session, call), name="open")
            session.opened()
            if not stream.active:
                raise CallFailedError(gone())
        except BaseException as error:
            with self._lock:
                self._remove_stream(stream)
            # The stream carries the answer and ends by itself.
            session.end(by_stream=True)
            if isinstance(error, ThreadStoppedError):
                raise CallFailedError(draining()) from error
            raise
        _log.info("session %s of %s begins", session.id, describe(call.peer))
        if self._watchdog.watches_connected:
            self._watchdog.look_again()
        return session

    def _take(self, call: session_pb2.OpenCall) -> Slot:
        try:
            slot: Slot = self._provider.take(call)
        except BaseException as error:
            self._admission.give_back()
            if isinstance(error, CallFailedError):
                raise
            raise env_raised("the server has no room for another session and", error) from error
        return slot

    def resume(self, call: session_pb2.ResumeCall, stream: SessionStream) -> Session:
        """Goes on with a session by another stream. On that stream's thread.

        Raises:
            CallFailedError: If there is no such session any more, or the server is draining.
        """
        try:
            session = self._resume(call, stream)
        except CallFailedError as error:
            self._count_refused(error.failure)
            raise
        with self._lock:
            self._totals.resumes += 1
        _log.info("session %s goes on", session.id)
        return session

    def _resume(self, call: session_pb2.ResumeCall, stream: SessionStream) -> Session:
        check_generation(call.protocol_generation)
        with self._lock:
            if self._draining:
                raise CallFailedError(draining())
            session = self._find(call.secret)
            if session is None:
                raise CallFailedError(self._reason_of(call.secret))
            self._add_stream(stream)
        try:
            session.resume(stream)
        except CallFailedError:
            with self._lock:
                self._remove_stream(stream)
            raise
        return session

    def leave(self, call: session_pb2.ResumeCall) -> None:
        """Ends a session whose client leaves it in the middle of a call, or after a break.

        Raises:
            CallFailedError: If there is no such session any more.
        """
        with self._lock:
            session = self._find(call.secret)
            if session is None:
                raise CallFailedError(self._reason_of(call.secret))
        session.end()

    def authenticate(self, secret: bytes) -> SessionCalls | None:
        """The session with that secret, which takes a pipe; None if there is no such session."""
        with self._lock:
            session = self._find(secret)
        if session is None or not session.accepts_connections:
            return None
        return SessionCalls(session)

    def stream_over(self, session: Session, stream: SessionStream) -> None:
        """A stream has ended. On the stream's thread."""
        with self._lock:
            self._remove_stream(stream)
        session.stream_over(stream)

    def release(self, session: Session, *, give_back: bool) -> None:
        """Takes a session's slot back; see `SessionOwner`."""
        # Before the backend is closed.
        backend = session.slot.made if self._counts else None
        done = None if backend is None else Totals().add_all([(session.slot, backend)])
        if give_back:
            self._provider.give_back(session.slot)
        with self._lock:
            self._over.append((session.secret, session.refusal or gone()))
            # The receiver knows the session: two that hold each other keep their memory for long.
            session.receiver = None
            del self._sessions[session.id]
            self._ended += 1
            if done is not None:
                self._totals.add_totals(done)
            SpinPolicy.left(session)
            self.last_vacated = time.monotonic()
        _log.info("session %s ends", session.id)
        if session.spans is not None:
            session.spans.end(session.refusal)
        self._admission.give_back()

    def look_again(self) -> None:
        """Has the watchdog look at the sessions; see `SessionOwner`."""
        self._watchdog.look_again()

    def count_last(self, timing: Timing) -> None:
        """Adds the call that closed a session; see `SessionOwner`."""
        if self._counts:
            with self._lock:
                self._totals.add_calls("close", timing)

    def drain(self) -> None:
        """Takes no more calls, and ends every session that is not in one."""
        with self._lock:
            self._draining = True
        self._admission.close()
        self._watchdog.close()
        self.watching.close()
        for session in self.sessions():
            session.drain(draining())

    def cut(self, slot: Slot) -> None:
        """Breaks the connections of a slot's session, whose client does not read its answer."""
        for session in self.sessions():
            if session.slot is slot:
                session.cut()

    def break_streams(self) -> None:
        """Breaks every stream, because a message of one is lost. On gRPC's thread.

        Nobody knows which stream waits for it, and only a cancelled one stops waiting.
        """
        _log.error("the server has no memory for a message; the connections of all clients are cut")
        with self._lock:
            streams = list(self._streams)
        for stream in streams:
            stream.cancel()

    def wait_until_quiet(self, seconds: float) -> None:
        """Waits until every stream has ended, so that the last answers have left."""
        self._quiet.wait(seconds)

    def _count_refused(self, failure: session_pb2.Failure) -> None:
        with self._lock:
            self._totals.refused[outcome_of(failure.code)] += 1

    def _enter(self, session: Session, call: session_pb2.OpenCall) -> None:
        try:
            session.slot.enter(call)
        except BaseException:
            # The next client may come as soon as this one knows that it was refused.
            session.release()
            raise

    # The following are called with the lock held.

    def _find(self, secret: bytes) -> Session | None:
        for session in self._sessions.values():
            if secrets.compare_digest(session.secret, secret):
                return session
        return None

    def _reason_of(self, secret: bytes) -> session_pb2.Failure:
        """Why a session is over."""
        for known, reason in self._over:
            if secrets.compare_digest(known, secret):
                return reason
        return gone()

    def _add_stream(self, stream: SessionStream) -> None:
        self._streams.add(stream)
        self._quiet.clear()

    def _remove_stream(self, stream: SessionStream) -> None:
        self._streams.discard(stream)
        if not self._streams:
            self._quiet.set()
