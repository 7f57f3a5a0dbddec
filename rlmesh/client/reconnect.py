"""What a client does when its connection has broken: goes on, begins anew, or says why not."""

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

# How long one attempt to resume may take: where a network swallows all, there is another.
_ATTEMPT_SECONDS = 5.0
# How long to pause between attempts: at first, and at most.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
# For how long nobody must have listened on this machine until the server is taken for dead: what
# stands before it, the end of a tunnel for instance, may be on its way back.
_DESERTED_SECONDS = 0.5
# So many breaks over one call, each soon after the one before, are that call's own fault: something
# on the way does not let it pass.
_MOST_BREAKS = 100
_SOON_SECONDS = 5.0


class Reconnect:
    """Finds a transport for the calls of a session that has none.

    Nothing of it is on the path of a call that succeeds.

    Args:
        session: The session.
        connect_timeout: Seconds to look for an endpoint to begin anew at; None: for ever.

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
        """Makes a call again over which the connection broke; the answer.

        Args:
            error: How it broke.
            message: The request.
            sequence: Its number. The server executes it once, however often it comes.
            wait: The call.

        Raises:
            RlmeshError: As `resume` and `Transport.take` say.
        """
        breaks, last = 0, -math.inf
        try:
            while breaks < _MOST_BREAKS:
                breaks = breaks + 1 if time.monotonic() - last < _SOON_SECONDS else 1
                transport = self.resume(error, wait)
                last = time.monotonic()
                try:
                    return exchange(transport, message, sequence, wait)
                except EndpointError as again:
                    error = again
            raise self.lose(error)
        finally:
            # Its traceback leads here, and to all that the transport holds: what is raised is a
            # cycle.
            del error

    def post(self, error: EndpointError, message: bytes, wait: Wait) -> Transport:
        """As `exchange`, without waiting for the answer; the transport that it comes by."""
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
        """Goes on with the session.

        Args:
            error: Why it has no transport any more.
            wait: The call that wants one.

        Raises:
            CallTimeoutError: If the call's deadline passes; the session may still be resumed.
            SessionLostError: If the server does not know the session, or could not be reached for
                as long as it keeps one.
            EndpointError: If the server refuses to go on; and `error` itself, if the session does
                not outlive it.
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
        """A transport for a call that finds none, as an earlier one ended without.

        Raises:
            StateError: If the session is over and the call is not a reset.
            EndpointError: Why it is over, if the client does not connect anew.
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
                f"reset(), which begins another"
            )
        self.transport = self._session.reopen(self._connect_timeout)
        self.lost = self._broken_at = None
        return self.transport

    def lose(self, error: EndpointError) -> EndpointError:
        """Notes that the session is over; why."""
        self.transport = None
        # Another one: this one's traceback leads to all that the session had.
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
                pass  # nothing came: as good as no connection
            except ValueError:
                # How grpc says that the channel was closed a moment ago.
                if not session.closing.is_set():
                    raise
            if time.monotonic() >= deadline:
                raise late(wait, session.address) from broke
            if time.monotonic() >= until:
                raise SessionLostError(
                    f"{wait.call}: {session.address} could not be reached again within "
                    f"{session.resume_seconds:g} s, for which it keeps a session: {broke}. The "
                    f"episode is lost; reset() starts anew"
                )
            if session.closing.wait(pause * random.uniform(0.5, 1.0)):  # noqa: S311 - no secret
                raise closed_meanwhile(wait, session.address)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _deserted_since(self, before: float | None) -> float | None:
        """Since when nobody listens at the endpoint; None where that cannot be told.

        Raises:
            SessionLostError: If that is so for too long.
        """
        if not self._session.is_deserted():
            return None
        now = time.monotonic()
        since = now if before is None else before
        if now - since >= _DESERTED_SECONDS:
            raise SessionLostError(
                f"nobody listens at {self._session.address} any more: its server was killed or has "
                f"crashed. The episode is lost; reset() starts anew once there is another server"
            )
        return since
