"""The manager: gives environments to clients, takes them back, and knows who has one."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import deque

from rlmesh.contract import AutoresetMode
from rlmesh.server.envs.provider import EnvProvider
from rlmesh.server.envs.slot import EnvSlot
from rlmesh.server.envs.thread import ThreadStoppedError
from rlmesh.server.failures import CallFailedError, draining, env_raised, gone
from rlmesh.server.options import ServeOptions
from rlmesh.server.rpc.open_stream import OpenStream
from rlmesh.server.sessions.admission import Admission
from rlmesh.server.sessions.calls import CallReceiver, SessionCalls
from rlmesh.server.sessions.opening import busy, check_generation, mode_of
from rlmesh.server.sessions.session import Session
from rlmesh.server.sessions.watchdog import Watchdog
from rlmesh.transports.peer import describe
from rlmesh.transports.spin_policy import SpinPolicy
from rlmesh_api.v1 import session_pb2

_log = logging.getLogger("rlmesh.server")

# Of how many sessions it is remembered why they ended.
_REMEMBERED = 256


class SessionManager:
    """Gives environments to clients, each to one at a time.

    Args:
        provider: Where the environments are.
        options: For how long what is kept.

    Attributes:
        last_vacated: When a session ended last, on the monotonic clock, in seconds.
    """

    def __init__(self, provider: EnvProvider, options: ServeOptions) -> None:
        self.last_vacated: float = 0.0
        self._provider = provider
        self._grace = options.resume_timeout_seconds
        self._lock = threading.Lock()
        self._sessions: dict[str, Session] = {}
        self._over: deque[tuple[bytes, session_pb2.Failure]] = deque(maxlen=_REMEMBERED)
        self._lines: set[OpenStream] = set()
        self._quiet = threading.Event()
        self._quiet.set()
        self._admission = Admission(provider.capacity)
        self._watchdog = Watchdog(options, self.sessions, self._expire)
        self._draining = False

    @property
    def capacity(self) -> int:
        """How many sessions there can be at once."""
        return self._provider.capacity

    @property
    def draining(self) -> bool:
        """Whether no new session and no new call is taken."""
        return self._draining

    def sessions(self) -> list[Session]:
        """The sessions, those first that have lasted longest."""
        with self._lock:
            return list(self._sessions.values())

    def provider(self) -> list[EnvSlot]:
        """Every slot that there is."""
        return self._provider.all()

    def open(self, call: session_pb2.OpenCall, line: OpenStream) -> Session:
        """Gives an environment to a client, who may wait for a place.

        Raises:
            CallFailedError: If there is no place, the server is draining, the client speaks no
                generation that this server knows, asks for an autoreset mode that cannot be had, or
                no environment can be made.
        """
        check_generation(call.protocol_generation)
        mode = mode_of(call)
        if not self._admission.take(call.wait_seconds, line.on_end):
            if self._draining:
                raise CallFailedError(draining())
            raise CallFailedError(busy(self.sessions(), self.capacity, call.wait_seconds))
        try:
            slot = self._provider.take()
        except BaseException as error:
            self._admission.give_back()
            raise env_raised("the server has no slot for another session and", error) from error
        session = Session(call.peer, slot, call.resumes and self._grace > 0, line)
        with self._lock:
            self._sessions[session.id] = session
            SpinPolicy.joined(session)
            self._enter(line)
            session.barred = draining() if self._draining else None
        try:
            if session.barred is not None:
                raise CallFailedError(session.barred)
            slot.thread.call(lambda: self._begin(session, mode, call), name="open")
        except BaseException as error:
            with self._lock:
                session.line = None
                self._leave(line)
            self.end(session)
            if isinstance(error, ThreadStoppedError):
                raise CallFailedError(draining()) from error
            raise
        _log.info("session %s of %s begins", session.id, describe(call.peer))
        self._watchdog.begin()
        return session

    def resume(self, call: session_pb2.ResumeCall, line: OpenStream) -> Session:
        """Goes on with a session by another stream; what it came by before ends.

        Raises:
            CallFailedError: If there is no such session any more, or the server is draining.
        """
        check_generation(call.protocol_generation)
        with self._lock:
            session = self._holding(call.secret)
            if self._draining:
                raise CallFailedError(draining())
            if session is None or session.barred is not None:
                raise CallFailedError(self._why_over(call.secret))
            line_before, source = session.line, session.source
            session.line, session.source, session.lost_since = line, None, None
            session.rejoined = session.sequence
            self._enter(line)
        # The server may not know yet that they are dead.
        if line_before is not None:
            line_before.supersede()
        if source is not None and source.transport != "grpc":
            source.close()
        _log.info("session %s goes on", session.id)
        return session

    def leave(self, call: session_pb2.ResumeCall) -> None:
        """Ends a session whose client leaves it in the middle of a call, or after a break.

        Raises:
            CallFailedError: If there is no such session any more.
        """
        with self._lock:
            session = self._holding(call.secret)
            if session is None:
                raise CallFailedError(self._why_over(call.secret))
        self.end(session)

    def authenticate(self, secret: bytes) -> SessionCalls | None:
        """The session with that secret, which takes a pipe; None if there is no such session."""
        with self._lock:
            session = self._holding(secret)
            if session is None or session.barred is not None or session.slot.made is None:
                return None
        return SessionCalls(self, session)

    def attach(
        self, session: Session, source: CallReceiver, line: OpenStream | None = None
    ) -> None:
        """Has the environment's thread take a session's calls from a source from now on.

        It takes the place of the one before, whose client has gone through a listener anew. A
        stream that is in use stays so.

        Args:
            session: The session.
            source: The source.
            line: The stream that the source is; None where it is a pipe.
        """
        with self._lock:
            before = session.source
            welcome = (
                session.barred is None
                and (before is None or before.transport != "grpc")
                and (line is None or session.line is line)
            )
            if welcome:
                try:
                    session.slot.thread.attach(source)
                except ThreadStoppedError:
                    welcome = False
                else:
                    session.source, session.transport, session.lost_since = (
                        source,
                        source.transport,
                        None,
                    )
                    if before is not None:
                        session.rejoined = session.sequence
        if not welcome:
            source.release()
        elif before is not None:
            before.close()

    def lost(self, session: Session, source: CallReceiver) -> None:
        """Notes that a source is over. On the environment's thread."""
        if session.resumes and not session.ended:
            kept = source.kept()
            if kept is not None and kept[0] == session.sequence:
                session.kept = kept
        with self._lock:
            if source.process:
                session.process = source.process
            if session.source is not source:
                return
            session.source = None
            over = session.line is None and not self._keeps(session)
        if over:
            self.end(session)

    def left(self, session: Session, line: OpenStream) -> None:
        """Notes that a stream has ended."""
        with self._lock:
            self._leave(line)
            if session.line is not line:
                return
            session.line = None
            source = session.source
            by_port = source is not None and session.resumes and session.barred is None
            if by_port and source is not None and session.in_call:
                # Nobody listens to the pipe meanwhile, so its end would not be noticed for as long
                # as the call takes. A client that lives does not wait for the answer there either.
                session.process = source.process or session.process
                self._note_loss(session)
            else:
                # Else it goes on by its pipe.
                source = None
            over = not by_port and not self._keeps(session)
        if source is not None and source.transport != "grpc":
            source.close()
        if over:
            self.end(session)

    def end(
        self,
        session: Session,
        why: session_pb2.Failure | None = None,
        *,
        by_stream: bool = False,
    ) -> None:
        """Ends a session, and takes its environment back once that is in no call.

        Args:
            session: The session.
            why: What its client is told; None where it knows.
            by_stream: Whether its stream is about to end by itself, after the last answer.
        """
        with self._lock:
            session.ended = True
            session.ended_at = session.ended_at or time.monotonic()
            session.barred = session.barred or why or gone()
            line, source = session.line, session.source
        if source is not None and (why is None or source.transport != "grpc"):
            source.close()
        if line is not None and why is not None:
            line.say_farewell(why, lambda: self._have_vacated(session))
            return
        if line is not None and not by_stream:
            line.cancel()
        self._have_vacated(session)

    def vacate(self, session: Session) -> None:
        """Takes the environment back from a session, once, on the environment's thread."""
        if self._may_forget(session):
            self._provider.give_back(session.slot)
            self._forget(session)

    def _have_vacated(self, session: Session) -> None:
        """Has the environment taken back as soon as it is in no call."""
        if session.vacated:
            # The next client may have it: what is posted now would end its stream.
            return
        thread = session.slot.thread
        if thread.is_current:
            self.vacate(session)
            return
        try:
            thread.post(lambda: self.vacate(session), name="close")
            if thread.running is not None:
                self._watchdog.look_again()
        except ThreadStoppedError:
            # The end of the server closes the environment, if it has not done so.
            if self._may_forget(session):
                self._forget(session)

    def _may_forget(self, session: Session) -> bool:
        """Whether nobody has taken the environment back yet."""
        with self._lock:
            if session.vacated:
                return False
            session.vacated = session.ended = True
            session.barred = session.barred or gone()
            self._over.append((session.secret, session.barred))
            return True

    def _forget(self, session: Session) -> None:
        with self._lock:
            # It knows the session: two that hold each other keep their memory for long.
            session.source = None
            del self._sessions[session.id]
            SpinPolicy.left(session)
            self.last_vacated = time.monotonic()
        _log.info("session %s ends", session.id)
        self._admission.give_back()

    def drain(self) -> None:
        """Takes no more calls, and ends every session that is not in one."""
        with self._lock:
            self._draining = True
            sessions = list(self._sessions.values())
            for session in sessions:
                session.barred = session.barred or draining()
        self._admission.close()
        self._watchdog.close()
        for session in sessions:
            line, source = session.line, session.source
            if session.in_call:
                continue
            if source is not None:
                source.close()
            if line is not None:
                line.cancel()
            elif source is None:
                self.end(session)

    def wait_until_quiet(self, seconds: float) -> None:
        """Waits until every stream has ended, so that the last answers have left."""
        self._quiet.wait(seconds)

    def _begin(
        self, session: Session, mode: AutoresetMode | None, call: session_pb2.OpenCall
    ) -> None:
        try:
            timeout = call.request_timeout_seconds
            session.slot.enter(
                mode, as_vector=call.as_vector, timeout=timeout if timeout > 0 else None
            )
        except BaseException:
            # The next client may come as soon as this one knows that it was refused.
            self.vacate(session)
            raise

    def _keeps(self, session: Session) -> bool:
        """Whether a session is kept that has lost what it came by, its last connection maybe."""
        if not session.resumes or session.barred is not None:
            return False
        if session.line is None and session.source is None:
            self._note_loss(session)
        return True

    def _note_loss(self, session: Session) -> None:
        session.lost_since = session.lost_since or time.monotonic()
        self._watchdog.look_again()

    def _expire(self, session: Session, lost_since: float | None, why: session_pb2.Failure) -> None:
        """Ends a session that has been left alone, unless its client has come back just now."""
        with self._lock:
            if session.lost_since != lost_since or session.barred is not None:
                return
            session.barred = why
        _log.info("session %s: %s", session.id, why.message)
        self.end(session, why)

    def _holding(self, secret: bytes) -> Session | None:
        for session in self._sessions.values():
            if secrets.compare_digest(session.secret, secret):
                return session
        return None

    def _why_over(self, secret: bytes) -> session_pb2.Failure:
        for known, why in [*self._over, *((s.secret, s.barred) for s in self._sessions.values())]:
            if why is not None and secrets.compare_digest(known, secret):
                return why
        return gone()

    def _enter(self, line: OpenStream) -> None:
        self._lines.add(line)
        self._quiet.clear()

    def _leave(self, line: OpenStream) -> None:
        self._lines.discard(line)
        if not self._lines:
            self._quiet.set()
