"""A session: one client's hold on a slot, as a state machine.

    OPENING -> CONNECTED <-> DISCONNECTED -> ENDING -> RELEASED

Every event that can happen to a session is a method of `Session`, and each method says which thread
calls it. `Session._lock` guards the fields that the class lists under it. What a transition causes
(a stream to end, an answer to leave) happens after the lock is free, since it may call back.
"""

from __future__ import annotations

import contextlib
import enum
import logging
import secrets
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from google.protobuf.message import DecodeError

from rlmesh.server.failures import CallFailedError, gone
from rlmesh.server.sessions.connections import Receiver, SessionStream
from rlmesh.server.sessions.endpoint import (
    LoanEnd,
    SessionWatch,
    Slot,
    ThreadStoppedError,
    Timing,
)
from rlmesh.server.sessions.kind import EndpointKind
from rlmesh.server.sessions.requests import Request, failed_so, read_request
from rlmesh.transports.listener import SECRET_BYTES
from rlmesh_api.v1 import session_pb2

if TYPE_CHECKING:
    from rlmesh.server.sessions.spans import SessionSpans

_log = logging.getLogger("rlmesh.server")


class State(enum.Enum):
    """Where a session is in its life.

    Attributes:
        OPENING: It has a place; its slot is being prepared.
        CONNECTED: Its client can call, over its stream or over a pipe.
        DISCONNECTED: Its client has no connection, and may come back.
        ENDING: Further calls are refused; its slot is given back once it is in no call.
        RELEASED: Its slot is given back.
    """

    OPENING = "opening"
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    ENDING = "ending"
    RELEASED = "released"


_ALIVE = (State.CONNECTED, State.DISCONNECTED)
# The number of the last call, while another process answers the calls.
_UNKNOWN = -1


class SessionOwner(Protocol):
    """What a session tells its manager."""

    def release(self, session: Session, *, give_back: bool) -> None:
        """Takes the slot back, on the slot's thread, and frees the session's place."""
        ...

    def look_again(self) -> None:
        """Has the watchdog look at the sessions: something may be due earlier than it knows."""
        ...

    def count_last(self, timing: Timing) -> None:
        """Adds the call that closed a session, which was answered after its release."""
        ...


class Session:
    """One client's hold on a slot.

    A session outlives its connections: if its client resumes, it is kept for a while without one.

    Args:
        peer: The client.
        slot: The slot that it holds.
        stream: The stream on which the client opened it.
        kind: What kind of endpoint it is.
        resumes: Whether the client comes back after its connection has broken.
        owner: The session manager.
        spans: Its spans of OpenTelemetry; None: this process makes none.

    Attributes:
        peer: As given.
        slot: As given.
        kind: As given.
        resumes: As given.
        id: The session's name in logs and status pages.
        secret: What its client shows on another transport, and to resume the session; 32 bytes.
        since: When it began, on the monotonic clock, in seconds.
        state: Where it is in its life. Guarded by `_lock`, as are those up to `ended_at`.
        stream: Its stream; None where that has broken.
        receiver: Where its calls come from; None before the first call, and where that is over.
        transport: The name of the transport that its calls came by last; empty before the first.
        process: The client's process id where the system tells it, else 0.
        lost_since: Since when it has had no connection, in seconds; None while it has one.
        refusal: What further calls are answered; None while they are executed.
        spans: As given.
        ended_at: Since when nobody waits for its calls, in seconds; 0 before.
        rejoined: What `sequence` was when the client came back; 0 if it never did.
        sequence: The number of the last call that was executed, or is being executed. Written on
            the slot's thread, as are the following.
        last_request: The last call that is no hot call in the fixed form; None before the first. A
            hot call leaves nothing behind but `sequence`.
        in_call: Whether a call is being executed, or its answer is leaving, or another process
            answers the session's calls.
        lent: Whether that is so. Guarded by `_lock`; `sequence` is behind meanwhile.
        drains: Whether the server ends, and leaves the session's end to the call or the other
            process. Guarded by `_lock`.
        kept: The last call's number and answer, if the connection that it came by is over.
        failures: How many of its calls failed.
        watch: What viewers see of it; None: nobody watches. A viewer's thread sets it.
    """

    __slots__ = (
        "__weakref__",
        "_lock",
        "_owner",
        "_release_posted",
        "drains",
        "ended_at",
        "failures",
        "id",
        "in_call",
        "kept",
        "kind",
        "last_request",
        "lent",
        "lost_since",
        "peer",
        "process",
        "receiver",
        "refusal",
        "rejoined",
        "resumes",
        "secret",
        "sequence",
        "since",
        "slot",
        "spans",
        "state",
        "stream",
        "transport",
        "watch",
    )

    def __init__(
        self,
        peer: session_pb2.Peer,
        slot: Slot,
        stream: SessionStream,
        *,
        kind: EndpointKind,
        resumes: bool,
        owner: SessionOwner,
        spans: SessionSpans | None = None,
    ) -> None:
        self.peer: session_pb2.Peer = peer
        self.slot: Slot = slot
        self.kind: EndpointKind = kind
        self.resumes: bool = resumes
        self.id: str = secrets.token_hex(4)
        self.secret: bytes = secrets.token_bytes(SECRET_BYTES)
        self.since: float = time.monotonic()
        self.state: State = State.OPENING
        self.stream: SessionStream | None = stream
        self.receiver: Receiver | None = None
        self.transport: str = ""
        self.process: int = 0
        self.lost_since: float | None = None
        self.refusal: session_pb2.Failure | None = None
        self.spans: SessionSpans | None = spans
        self.ended_at: float = 0.0
        self.rejoined: int = 0
        self.sequence: int = 1
        self.last_request: Request | None = None
        self.in_call: bool = False
        self.lent: bool = False
        self.drains: bool = False
        self.kept: tuple[int, bytes] | None = None
        self.failures: int = 0
        self.watch: SessionWatch | None = None
        self._owner = owner
        self._lock = threading.Lock()
        self._release_posted = False
        if spans is not None:
            spans.begin(self.id)

    @property
    def accepts_connections(self) -> bool:
        """Whether a client that shows the secret may connect. Any thread may ask."""
        return self.state in _ALIVE

    # The events, in the order of a life.

    def opened(self) -> None:
        """The slot is prepared. On the stream's thread.

        Raises:
            CallFailedError: If the session ended meanwhile.
        """
        with self._lock:
            if self.state is not State.OPENING:
                raise CallFailedError(self.refusal or gone())
            self.state = State.CONNECTED

    def attach(self, receiver: Receiver, stream: SessionStream | None = None) -> None:
        """Has the slot's thread take calls from a receiver, in the place of the one before.

        On the thread of the stream or of a listener. A receiver that is not welcome is released:
        the session is over, or calls come by its stream already.

        Args:
            receiver: The receiver.
            stream: The stream that the receiver reads; None where it reads a pipe.
        """
        with self._lock:
            before = self.receiver
            welcome = (
                self.state in _ALIVE
                and (before is None or not before.by_stream)
                and (stream is None or self.stream is stream)
            )
            if welcome:
                try:
                    self.slot.thread.attach(receiver)
                except ThreadStoppedError:
                    welcome = False
                else:
                    self.receiver, self.transport = receiver, receiver.transport
                    self._connected()
                    if before is not None:
                        self._rejoined()
        if not welcome:
            receiver.release()
        elif before is not None:
            before.close()

    def resume(self, stream: SessionStream) -> None:
        """The client goes on by another stream; the former connections end. On its thread.

        Raises:
            CallFailedError: If the session is over.
        """
        with self._lock:
            if self.state not in _ALIVE:
                raise CallFailedError(self.refusal or gone())
            stream_before, receiver = self.stream, self.receiver
            self.stream, self.receiver = stream, None
            self._connected()
            self._rejoined()
        # The server may not have noticed yet that they are dead.
        if stream_before is not None:
            stream_before.supersede()
        if receiver is not None and not receiver.by_stream:
            receiver.close()

    def receiver_over(self, receiver: Receiver) -> None:
        """A receiver is over. On the slot's thread, or on the one whose receiver was refused."""
        if self.resumes and self.state in _ALIVE:
            kept = receiver.kept()
            if kept is not None and kept[0] == self.sequence:
                self.kept = kept
        with self._lock:
            if receiver.process:
                self.process = receiver.process
            if self.receiver is not receiver:
                return
            self.receiver = None
            if self.stream is not None:
                return
            kept_alive = self._disconnected()
        self._after_loss(kept_alive)

    def stream_over(self, stream: SessionStream) -> None:
        """A stream has ended. On the stream's thread."""
        with self._lock:
            if self.stream is not stream:
                return
            self.stream = None
            receiver = self.receiver
            if receiver is not None and self.resumes and self.state in _ALIVE:
                if not self.in_call or (self.lent and self.slot.thread.running is None):
                    # Its calls go on by the pipe.
                    return
                # Nobody reads the pipe during a call, so its end would go unnoticed until the call
                # returns. A client that lives resumes, and does not wait for an answer there.
                self.process = receiver.process or self.process
            else:
                receiver = None
            kept_alive = self._disconnected()
        if receiver is not None and not receiver.by_stream:
            receiver.close()
        self._after_loss(kept_alive)

    def expire(self, lost_since: float | None, reason: session_pb2.Failure) -> bool:
        """The session's time is over; False if its client has come back. On the watchdog's thread.

        Args:
            lost_since: What `lost_since` was when the watchdog looked.
            reason: What the client is answered.
        """
        with self._lock:
            if self.lost_since != lost_since or self.state not in _ALIVE:
                return False
            self._end(reason)
        self.end(reason)
        return True

    def drain(self, reason: session_pb2.Failure) -> None:
        """The server ends: a call in progress is the last. On the lifecycle's thread."""
        with self._lock:
            self._end(reason)
            self.drains = True
            stream, receiver = self.stream, self.receiver
        # `SessionCalls` sets `in_call` and then reads `refusal`; here it is the other way round. So
        # either the call sees the refusal, or the session is left to the call.
        if self.in_call:
            return
        if receiver is not None:
            receiver.close()
        if stream is not None:
            stream.cancel()
        elif receiver is None:
            self.end()

    def cut(self) -> None:
        """Breaks the connections. On the lifecycle's thread, when an answer does not leave."""
        with self._lock:
            stream, receiver = self.stream, self.receiver
        if receiver is not None:
            receiver.close()
        if stream is not None:
            stream.cancel()

    def end(self, reason: session_pb2.Failure | None = None, *, by_stream: bool = False) -> None:
        """Ends the session; its slot is given back once it is in no call. Any thread may.

        Args:
            reason: What the client gets as the reason; None if it knows.
            by_stream: Whether its stream is about to end by itself, after the last answer.
        """
        with self._lock:
            self._end(reason or gone())
            self.ended_at = self.ended_at or time.monotonic()
            stream, receiver = self.stream, self.receiver
        if receiver is not None and (reason is None or not receiver.by_stream):
            receiver.close()
        if stream is not None and reason is not None:
            stream.say_farewell(reason, self._release_soon)
            return
        if stream is not None and not by_stream:
            stream.cancel()
        self._release_soon()

    def release(self, *, give_back: bool = True) -> None:
        """Gives the slot back, once. On the slot's thread.

        Args:
            give_back: False where the slot's thread has stopped: the end of the server closes it.
        """
        with self._lock:
            if self.state is State.RELEASED:
                return
            self._end(gone())
            self.state = State.RELEASED
        self._owner.release(self, give_back=give_back)

    def count_last(self, timing: Timing) -> None:
        """Has the call counted that has released the session. On the slot's thread.

        Args:
            timing: That of the kind of the call, of which a session has one.
        """
        if self.state is State.RELEASED:
            self._owner.count_last(timing)

    def between_calls(self, work: Callable[[], None], name: str) -> bool:
        """Has the slot's thread do something between two calls. Any thread may ask.

        Args:
            work: What to do; it raises nothing.
            name: Its name on status pages.

        Returns:
            False where that is not possible: a stream carries the calls, which nothing but its end
            wakes up, or the slot's thread takes no more calls.
        """
        with self._lock:
            receiver = self.receiver
            if receiver is not None and receiver.by_stream:
                return False
            try:
                self.slot.thread.post(work, name=name)
            except ThreadStoppedError:
                return False
        return True

    # Loans: another process answers the calls. On the slot's thread.

    def lends(self) -> bool:
        """Notes that another process is about to answer calls; False if it may not.

        It may not where calls are refused, nor while somebody watches: viewers see the answers that
        this process sends.
        """
        # In this order, as `drain` does it the other way round.
        self.in_call = True
        with self._lock:
            lent = self.lent = self.refusal is None and self.watch is None
        return lent

    def lent_until(self, end: LoanEnd | None) -> bool:
        """The pipe is back, or was not lent.

        Args:
            end: How the loan ended; None: there was none, or it ended with an error.

        Returns:
            Whether further calls may follow; else the pipe is to be finished.
        """
        with self._lock:
            self.lent = False
            if end is not None:
                self.sequence = end.sequence
                self._note_last_call(end)
            if self.rejoined == _UNKNOWN:
                self.rejoined = self.sequence
        self.in_call = False
        with self._lock:
            if not self.drains:
                return True
            # `drain` leaves this to the call, if there is one.
            stream = self.stream
        if stream is not None:
            stream.cancel()
        return False

    def _note_last_call(self, end: LoanEnd) -> None:
        """Keeps what a repetition of the last call is compared with and answered."""
        with contextlib.suppress(DecodeError):
            request = read_request(end.request, self.kind)
            if request.sequence == end.sequence and request.payload is None:
                self.last_request = request
        if end.lost is not None:
            answer = failed_so(end.sequence, end.lost)
            self.kept = end.sequence, answer.SerializeToString()

    # What several events share. The first four are called with the lock held.

    def _rejoined(self) -> None:
        """The client has come back after the last call, whose number may not be known yet."""
        self.rejoined = _UNKNOWN if self.lent else self.sequence

    def _connected(self) -> None:
        self.state, self.lost_since = State.CONNECTED, None

    def _disconnected(self) -> bool:
        """Notes that the last connection is lost; False if the session ends with it."""
        if not self.resumes or self.state not in _ALIVE:
            return False
        self.state = State.DISCONNECTED
        self.lost_since = self.lost_since or time.monotonic()
        return True

    def _end(self, reason: session_pb2.Failure) -> None:
        self.refusal = self.refusal or reason
        if self.state is not State.RELEASED:
            self.state = State.ENDING

    def _after_loss(self, kept_alive: bool) -> None:
        if kept_alive:
            self._owner.look_again()
        else:
            self.end()

    def _release_soon(self) -> None:
        """Has the slot given back as soon as it is in no call. Any thread may."""
        thread = self.slot.thread
        if thread.is_current:
            self.release()
            return
        try:
            with self._lock:
                # Under the lock: after RELEASED the thread may serve the next session, and what is
                # posted then would end a stream of that one.
                if self.state is State.RELEASED or self._release_posted:
                    return
                thread.post(self.release, name="close")
                self._release_posted = True
        except ThreadStoppedError:
            self.release(give_back=False)
            return
        if thread.running is not None:
            self._owner.look_again()

    def holder(self) -> session_pb2.Holder:
        """The session as other clients see it. Any thread may ask."""
        now, lost = time.monotonic(), self.lost_since
        return session_pb2.Holder(
            peer=self.peer,
            seconds=now - self.since,
            lost_seconds=None if lost is None else now - lost,
        )

    def idle_seconds(self) -> float:
        """For how many seconds no call has come; 0 in a call. Any thread may ask."""
        thread = self.slot.thread
        if thread.running is not None:
            return 0.0
        return max(0.0, time.monotonic() - max(thread.last_used, self.since))

    def answer_to(self, sequence: int) -> bytes | None:
        """What a call was answered, if it is the last one. On the slot's thread."""
        kept = self.kept
        if (kept is None or kept[0] != sequence) and self.receiver is not None:
            kept = self.receiver.kept()
        return kept[1] if kept is not None and kept[0] == sequence else None

    def repeats(self, request: Request) -> bool:
        """Whether a call that has the number of the last one is that call. On the slot's thread.

        Of a hot call only the kind is compared: to keep its value would cost every such call.
        """
        last, hot_call = self.last_request, self.kind.hot_call
        if last is None or last.sequence != request.sequence:
            return request.kind == hot_call
        if request.kind == hot_call:
            return last.kind == hot_call
        return request.message == last.message
