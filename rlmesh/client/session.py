"""A client's session with an endpoint: opens it, and resumes it when the connection has broken."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rlmesh.address import Address
from rlmesh.client.channel import ChannelFactory
from rlmesh.client.compression import Compressing
from rlmesh.client.connect_diagnosis import is_deserted
from rlmesh.client.connect_options import ConnectOptions
from rlmesh.client.connection import Connection
from rlmesh.client.endpoint import Endpoint
from rlmesh.client.status import explain
from rlmesh.errors import (
    CallTimeoutError,
    ConnectionLostError,
    EndpointDrainingError,
    EndpointUnreachableError,
    ProtocolError,
    RlmeshError,
    SessionLostError,
    SystemResourceError,
)
from rlmesh.seconds import LONGEST_SECONDS
from rlmesh.transports.grpc.transport import GrpcTransport
from rlmesh.transports.peer import PROTOCOL_GENERATION, this_peer
from rlmesh.transports.transport import Transport, Wait
from rlmesh_api.v1 import session_pb2

if TYPE_CHECKING:
    from rlmesh.client.call_spans import CallSpans

# How long a client that leaves waits for the server to confirm it.
_FAREWELL_SECONDS = 2.0
# How long a check whether a server listens may take.
_LOOK_SECONDS = 0.5
# How long a transport that has ended waits for the stream to report why. A client that resumes the
# session learns it from the server's answer and need not wait; any other learns it here or never.
_LONG_REPORT_SECONDS, _SHORT_REPORT_SECONDS = 1.0, 0.1


class Session:
    """One session with one endpoint.

    Args:
        address: Where the endpoint is.
        options: How to connect.
        endpoint: What only the kind of the endpoint knows.
        spans: Its spans; None: there are none.

    Attributes:
        address: The endpoint's address.
        version: Which version of a model answered when the session began; 0 for an environment.
        transport: The name of the transport that carries its calls.
        reconnects: Whether the client resumes it, and opens another in its place.
        exposed: The names of the attributes that the server exposes.
        closing: Set once it is closed. `Reconnect` waits on it, on the thread of a call.

    Raises:
        InvalidCredentialsError: If a file of TLS cannot be used, or the token would cross a network
            in plaintext.
    """

    def __init__(
        self,
        address: Address,
        options: ConnectOptions,
        endpoint: Endpoint,
        spans: CallSpans | None = None,
    ) -> None:
        self.address: str = str(address)
        self._address = address
        self._options = options
        self._endpoint = endpoint
        self.version: int = 0
        self.transport: str = GrpcTransport.name
        self.reconnects: bool = options.reconnect
        self.closing: threading.Event = threading.Event()
        self._channels = ChannelFactory(address, options.credentials)
        # All that `close` must close; the first is the one in use. The thread of a call changes the
        # list, and `close` copies it, on any thread.
        self._connections: list[Connection] = []
        self._opened = session_pb2.OpenResult()
        self.exposed: frozenset[str] = frozenset()
        self._spans = spans
        self._compressing = Compressing(options.compression, self.address)

    @property
    def resume_seconds(self) -> float:
        """For how many seconds the session is kept when its connection breaks; 0: it is not."""
        kept = self._opened.resume_seconds if self.reconnects else 0.0
        longest = self._options.longest_resume
        return kept if longest is None else min(kept, longest)

    def open(self, timeout: float | None) -> Transport:
        """Opens the session, and returns the transport that carries its calls.

        Args:
            timeout: Seconds until the endpoint must have answered. A server that is not up yet is
                tried again until then. None: no limit.

        Raises:
            RlmeshError: As `CallClient` says.
        """
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        connection = self._connect()
        self._endpoint.open(connection, self.address, timeout)
        return self._open(connection, deadline)

    def reopen(self, timeout: float | None) -> Transport:
        """Opens another session in place of one that is lost; arguments as for `open`.

        Raises:
            ContractMismatchError: If the endpoint's contract has changed.
            RlmeshError: What `open` raises.
        """
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        for connection in list(self._connections):
            self._drop(connection)
        connection = self._connect()
        self._endpoint.reopen(connection, self.address, timeout)
        return self._open(connection, deadline)

    def resume(self, seconds: float) -> Transport:
        """Resumes the session on a new connection, and returns the transport of its calls.

        Args:
            seconds: How long the server may take to answer.

        Raises:
            CallTimeoutError: If it does not answer in time.
            SessionLostError: If it does not know the session.
            EndpointDrainingError: If it is shutting down, also if only the old connection says so.
            ConnectionLostError: If it cannot be reached, the connection breaks, or this process has
                too few free descriptors.
            EndpointError: If it refuses.
        """
        try:
            connection = self._connect()
        except SystemResourceError as error:
            # Another part of this process may have the descriptors, for a moment.
            raise ConnectionLostError(str(error)) from error
        try:
            transport = self._resume(connection, seconds)
        except BaseException:
            self._drop(connection)
            self._check_draining()
            raise
        for other in list(self._connections):
            if other is not connection:
                self._drop(other)
        return transport

    def leave(self, sequence: int, *, politely: bool) -> None:
        """Says to the server that the client leaves, so that another may use the environment.

        Args:
            sequence: The number of the call that says so.
            politely: Whether no call is in progress; else the session ends after that call.
        """
        if not self._connections:
            return
        # A server that cannot be reached ends the session by itself, later.
        with contextlib.suppress(RlmeshError):
            if politely and self._say_close(sequence):
                return
            if self.resume_seconds:
                call = self._resume_call()
                call.leaves = True
                self._connect().begin(session_pb2.SessionRequest(resume=call), _FAREWELL_SECONDS)

    def _say_close(self, sequence: int) -> bool:
        """Sends `close` on the stream, whatever the transport; returns whether it could."""
        close = session_pb2.SessionRequest(sequence=sequence, close=session_pb2.CloseCall())
        wait = Wait("close", time.monotonic() + _FAREWELL_SECONDS, _FAREWELL_SECONDS)
        try:
            self._connections[0].ask(close.SerializeToString(), sequence, wait)
        except ConnectionLostError:
            return False
        return True

    def explain(self, error: CallTimeoutError) -> None:
        """Adds to an error what the session's environment is doing, if the server answers."""
        if self._connections:
            explain(error, self._connections[0].status(), self._opened.session_id)

    def is_in_call(self, sequence: int) -> bool | None:
        """Whether the environment is in a call of this session; None if the server does not say.

        Args:
            sequence: The call's number.
        """
        # `resume` leaves the connection in use alone in the list.
        status = self._connections[0].status() if self._connections else None
        if status is None:
            return None
        return any(
            one.id == self._opened.session_id and bool(one.call) and one.sequence == sequence
            for one in status.sessions
        )

    def is_deserted(self) -> bool:
        """Whether no server listens at the endpoint any more, as far as this machine knows."""
        return is_deserted(self._address, _LOOK_SECONDS)

    def close(self) -> None:
        """Ends it; the server notices at once. Any thread may, repeatedly."""
        self.closing.set()
        for connection in list(self._connections):
            connection.close()
        if self._spans is not None:
            self._spans.end()

    def leave_to_parent(self) -> None:
        """Gives back what a forked process holds of its parent's session, which goes on."""
        for connection in self._connections:
            connection.leave_to_parent()

    def _connect(self) -> Connection:
        """A new connection, which `close` closes as well."""
        connection = Connection(self._channels, self._endpoint.kind.service, self.address)
        self._connections.append(connection)
        # `close` sets `closing` before it copies the list, and this thread appends before it looks:
        # at least one of the two closes the connection.
        if self.closing.is_set():
            connection.close()
        return connection

    def _drop(self, connection: Connection) -> None:
        connection.close()
        with contextlib.suppress(ValueError):
            self._connections.remove(connection)

    def _open(self, connection: Connection, deadline: float) -> Transport:
        spans = self._spans
        if spans is None:
            return self._open_with(connection, deadline, None)
        try:
            transport = self._open_with(connection, deadline, spans)
        except BaseException as error:
            spans.end_session(error)
            raise
        spans.opened(self._opened.session_id, self.transport)
        return transport

    def _open_with(
        self, connection: Connection, deadline: float, spans: CallSpans | None
    ) -> Transport:
        options = self._options
        busy = LONGEST_SECONDS if options.busy_timeout is None else options.busy_timeout
        remaining = max(0.001, deadline - time.monotonic()) + busy
        call = session_pb2.OpenCall(
            peer=this_peer(),
            protocol_generation=PROTOCOL_GENERATION,
            wait_seconds=busy,
            resumes=self.reconnects,
            request_timeout_seconds=options.request_timeout or 0.0,
            # The server may still hold the session that this client took for lost.
            replaces=self._opened.secret,
        )
        self._endpoint.prepare(call)
        request = session_pb2.SessionRequest(sequence=1, open=call)
        if spans is not None:
            spans.begin_session(request)
        try:
            answer = connection.begin(request, None if remaining >= LONGEST_SECONDS else remaining)
        except CallTimeoutError as error:
            unopened = EndpointUnreachableError(
                f"{self.address} sent its contract, but opened no session in time"
            )
            explain(unopened, connection.status(), "")
            raise unopened from error
        self._opened = answer.open
        self.exposed = frozenset(answer.open.exposed)
        self.version = answer.open.version
        self._check_generation(answer.open.protocol_generation)
        return self._take_transport(connection, answer.open.transports, deadline + busy)

    def _resume(self, connection: Connection, seconds: float) -> Transport:
        deadline = time.monotonic() + seconds
        request = session_pb2.SessionRequest(resume=self._resume_call())
        try:
            answer = connection.begin(request, seconds)
        except ProtocolError as error:
            # Another server answers there, or one that does not know the session.
            raise SessionLostError(
                f"the session with {self.address} is gone: another server answers there now "
                f"({error}). The episode is lost; reset() opens another session"
            ) from error
        return self._take_transport(connection, answer.resume.transports, deadline)

    def _resume_call(self) -> session_pb2.ResumeCall:
        return session_pb2.ResumeCall(
            secret=self._opened.secret, protocol_generation=PROTOCOL_GENERATION
        )

    def _take_transport(
        self,
        connection: Connection,
        offers: Iterable[session_pb2.TransportOffer],
        deadline: float,
    ) -> Transport:
        transport = connection.take_transport(
            offers,
            self._opened.secret,
            wanted=self._options.transport,
            head=self._endpoint.head,
            report_seconds=_SHORT_REPORT_SECONDS if self.resume_seconds else _LONG_REPORT_SECONDS,
            deadline=deadline,
            silent_seconds=self._options.longest_silence,
        )
        self.transport = transport.name
        return self._compressing.around(transport, self._opened.compressions)

    def _check_generation(self, generation: int) -> None:
        if not 1 <= generation <= PROTOCOL_GENERATION:
            raise ProtocolError(
                f"the server at {self.address} speaks protocol generation {generation}, this "
                f"client 1 to {PROTOCOL_GENERATION}; upgrade the older of the two"
            )

    def _check_draining(self) -> None:
        """Raises if the connection broke because the server was shutting down."""
        # The first is the one that broke.
        ended = self._connections[0].end() if self._connections else None
        if isinstance(ended, EndpointDrainingError):
            raise ended
