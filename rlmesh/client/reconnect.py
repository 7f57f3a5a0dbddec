"""What a client does when its connection has broken: resumes, opens another session, or raises."""

from __future__ import annotations

import math
import random
import time

from rlmesh.client.session import Session
from rlmesh.errors import (
    CallTimeoutError,
    ConnectionLostError,
    EndpointError,
    SessionLostError,
    StateError,
)
from rlmesh.transports.pipe import Received
from rlmesh.transports.transport import Transport, Wait, closed_meanwhile, exchange, late

# How long one attempt to resume may take; a network may swallow everything, so another follows.
_ATTEMPT_SECONDS = 5.0
# How long to pause between attempts: at first, and at most.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
# For how long no server may listen on this machine before it counts as dead: a proxy before it, as
# the end of a tunnel, may come back.
_DESERTED_SECONDS = 0.5
# After so many breaks in one call, each soon after the one before, the call itself is the cause:
# something on the way does not let it pass.
_MOST_BREAKS = 100
_SOON_SECONDS = 5.0


class Reconnect:
    """Finds a transport for the calls of a session that has none.

    A call that succeeds at once uses nothing of it. Only the thread of a call uses it.

    Args:
        session: The session.
        connect_timeout: Seconds until the endpoint must answer that opens another session; None:
            no limit.

    Attributes:
        transport: The transport in use; None while there is none.
        lost: Why the session is over; None while it is not.
    """

    def __init__(self, session: Session, connect_timeout: float | None) -> None:
        self.transport: Transport | None = None
        self.lost: EndpointError | None = None
        self._session = session
        self._connect_timeout = connect_timeout
        self._broken_at: float | None = None

    def exchange(self, error: EndpointError, message: bytes, sequence: int, wait: Wait) -> Received:
        """Repeats a call in which the connection broke, and returns its answer.

        Args:
            error: How it broke.
            message: The request.
            sequence: Its number. The server executes it once, however often it comes.
            wait: The call.

        Raises:
            RlmeshError: As `resume` and `Transport.take` say.
        """
        breaks, last = 0, -math.inf
        began = time.monotonic()
        # Since when the server has said that it is not in the call; None while it has not.
        absent_since: float | None = None
        # For this long it may say nothing, and for as long again that it is not in the call.
        silence = self._session.resume_seconds / 2
        try:
            while breaks < _MOST_BREAKS:
                breaks = breaks + 1 if time.monotonic() - last < _SOON_SECONDS else 1
                transport = self.resume(error, wait)
                last = time.monotonic()
                if last - began > silence:
                    # A call that has arrived may last as long as the environment takes, and its
                    # answer must have time to come after that. Where the connection broke before
                    # the server said whether it is in the call, the next one is asked.
                    in_call = self._session.is_in_call(sequence)
                    if in_call:
                        absent_since = None
                    elif in_call is False:
                        absent_since = absent_since or last
                        if last - absent_since > silence:
                            raise self.lose(self._swallowed(wait))
                try:
                    return exchange(transport, message, sequence, wait)
                except EndpointError as again:
                    error = again
            raise self.lose(error)
        finally:
            # Its traceback refers to this frame, which would refer to it: a cycle that keeps alive
            # all that the transport holds.
            del error

    def _swallowed(self, wait: Wait) -> SessionLostError:
        session = self._session
        return SessionLostError(
            f"{wait.call}: {session.address} was reached again each time, but for "
            f"{session.resume_seconds:g} s no answer to this call has come. Something on the way "
            f"lets small messages pass and swallows large ones, as a network does whose MTU is "
            f"smaller than its hosts assume. The episode is lost; reset() opens another session"
        )

    def post(self, error: EndpointError, message: bytes, wait: Wait) -> Transport:
        """As `exchange`, without awaiting the answer; returns the transport that it comes by."""
        for _ in range(_MOST_BREAKS):
            transport = self.resume(error, wait)
            try:
                transport.post(message, wait)
            except EndpointError as again:
                error = again
            else:
                return transport
        raise self.lose(error)

    def resume(self, error: EndpointError, wait: Wait) -> Transport:
        """Resumes the session, and returns its transport.

        Args:
            error: Why the last transport ended.
            wait: The call that needs one.

        Raises:
            CallTimeoutError: If the call's deadline passes; the session may still be resumed.
            SessionLostError: If the server does not know the session, or could not be reached for
                as long as it keeps one.
            EndpointError: If the server refuses; and `error` itself, where the session ended with
                it.
            StateError: If another thread closes the client meanwhile.
        """
        self.transport = None
        kept = self._session.resume_seconds
        try:
            if not kept or not isinstance(error, ConnectionLostError):
                raise self.lose(error)
            until = (self._broken_at or time.monotonic()) + kept
            self._broken_at = until - kept
            try:
                self.transport = self._attempts(error, wait, until)
            except EndpointError as failure:
                raise self.lose(failure) from error
            self._broken_at = None
            return self.transport
        finally:
            del error

    def transport_for(self, wait: Wait) -> Transport:
        """Finds a transport for a call, where an earlier call ended without one.

        Raises:
            StateError: If the session is over and the call is not a reset.
            EndpointError: Why it is over, if the client does not reconnect.
            RlmeshError: What `resume` and `Session.reopen` raise.
        """
        lost = self.lost
        if lost is None:
            address = self._session.address
            return self.resume(ConnectionLostError(f"the connection to {address} broke"), wait)
        if not self._session.reconnects:
            raise type(lost)(str(lost))
        if wait.call != "reset":
            raise StateError(
                f"{wait.call}: the session with {self._session.address} is over ({lost}); call "
                f"reset(), which opens another"
            )
        self.transport = self._session.reopen(self._connect_timeout)
        self.lost = self._broken_at = None
        return self.transport

    def lose(self, error: EndpointError) -> EndpointError:
        """Notes that the session is over, and returns the reason."""
        self.transport = None
        # A copy: the traceback of this one refers to all that the session had.
        self.lost = type(error)(str(error))
        return error

    def _attempts(self, broke: ConnectionLostError, wait: Wait, until: float) -> Transport:
        session = self._session
        deadline = math.inf if wait.deadline is None else wait.deadline
        pause = _FIRST_PAUSE
        deserted_since: float | None = None
        while True:
            remaining = min(until, deadline) - time.monotonic()
            try:
                return session.resume(max(0.001, min(remaining, _ATTEMPT_SECONDS)))
            except SessionLostError:
                raise
            except ConnectionLostError as error:
                broke = error
                deserted_since = self._deserted_since(deserted_since)
            except CallTimeoutError:
                pass  # no answer: as if there were no connection
            except ValueError:
                # grpc raises this for a channel that was closed a moment ago.
                if not session.closing.is_set():
                    raise
            if time.monotonic() >= deadline:
                raise late(wait, session.address) from broke
            if time.monotonic() >= until:
                raise SessionLostError(
                    f"{wait.call}: {session.address} could not be reached again within "
                    f"{session.resume_seconds:g} s, for which it keeps a session: {broke}. The "
                    f"episode is lost; reset() opens another session"
                )
            if session.closing.wait(pause * random.uniform(0.5, 1.0)):  # noqa: S311 - no secret
                raise closed_meanwhile(wait, session.address)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _deserted_since(self, before: float | None) -> float | None:
        """Since when no server listens at the endpoint; None where this machine cannot know.

        Raises:
            SessionLostError: If none has listened for too long.
        """
        if not self._session.is_deserted():
            return None
        now = time.monotonic()
        since = now if before is None else before
        if now - since >= _DESERTED_SECONDS:
            raise SessionLostError(
                f"no server listens at {self._session.address} any more: its server was killed or "
                f"has crashed. The episode is lost; reset() opens another session once a server "
                f"runs there"
            )
        return since
