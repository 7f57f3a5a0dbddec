"""A client's session: opened at an endpoint, and resumed there when its connection has broken."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Iterable

from rlmesh.address import Address
from rlmesh.client.channel import ChannelFactory
from rlmesh.client.connect_diagnosis import is_deserted
from rlmesh.client.connect_options import ConnectOptions
from rlmesh.client.connection import Connection
from rlmesh.client.expected_contract import check_unchanged
from rlmesh.client.status import explain
from rlmesh.codec.step.result import StepResultCodec, compile_step_result
from rlmesh.codec.step.wire import PREFIX
from rlmesh.contract import AutoresetMode, EnvContract
from rlmesh.errors import (
    CallTimeoutError,
    ConnectionLostError,
    EndpointDrainingError,
    EndpointUnreachableError,
    ProtocolError,
    RlmeshError,
    SessionLostError,
)
from rlmesh.seconds import LONGEST_SECONDS
from rlmesh.transports.grpc.transport import GrpcTransport
from rlmesh.transports.peer import PROTOCOL_GENERATION, this_peer
from rlmesh.transports.transport import Transport, Wait
from rlmesh_api.v1 import session_pb2

# How long a client that leaves waits for the server to confirm it.
_FAREWELL_SECONDS = 2.0
# How long it is looked whether anybody listens.
_LOOK_SECONDS = 0.5
# For how many seconds the stream is asked why a transport has ended. Who resumes the session hears
# from the server why not, and need not wait; anybody else learns it here or not at all.
_LONG_PATIENCE, _SHORT_PATIENCE = 1.0, 0.1


class Session:
    """One session with one endpoint.

    Args:
        address: Where the endpoint is.
        options: How to connect.

    Attributes:
        address: The endpoint's address.
        contract: The endpoint's contract.
        num_envs: The number of sub-environments of a vector environment; None for a single one.
        mode: When sub-environments reset themselves; None where there are none, and where nobody
            tells.
        form: How the result of a step stands in a message.
        transport: The name of the transport that its calls cross by.
        reconnects: Whether it is resumed, and opened anew.
        closing: Set once it is closed.

    Raises:
        InvalidCredentialsError: If a file of TLS cannot be used, or the token would cross a network
            in plaintext.
    """

    contract: EnvContract
    num_envs: int | None
    mode: AutoresetMode | None
    form: StepResultCodec

    def __init__(
        self,
        address: Address,
        options: ConnectOptions,
    ) -> None:
        self.address: str = str(address)
        self._address = address
        self._options = options
        self.transport: str = GrpcTransport.name
        self.reconnects: bool = options.reconnect
        self.closing: threading.Event = threading.Event()
        self._channels = ChannelFactory(address, options.credentials)
        self._autoreset = options.autoreset
        # All that have to be closed, or left to the parent of a fork; the current one is the first.
        self._links: list[Connection] = []
        self._opened = session_pb2.OpenResult()

    @property
    def resume_seconds(self) -> float:
        """For how many seconds the session is kept when its connection breaks; 0: it is not."""
        return self._opened.resume_seconds if self.reconnects else 0.0

    def open(self, timeout: float | None) -> Transport:
        """Opens the session; the transport that its calls cross by.

        Args:
            timeout: Seconds until the endpoint must have answered; one that is not up yet is tried
                again until then. None: for ever.

        Raises:
            RlmeshError: As `CallClient` says.
        """
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        link = self._linked()
        contract = link.contract(timeout)
        self._options.check(contract, self.address)
        self.contract = contract
        self.num_envs = None if self._options.vector is False else contract.num_envs
        self.mode = self._autoreset or contract.autoreset_mode
        if self.num_envs and not contract.vector:
            self.mode = self._autoreset = self.mode or AutoresetMode.NEXT_STEP
        self.form = compile_step_result(self.num_envs)
        return self._open(link, deadline)

    def reopen(self, timeout: float | None) -> Transport:
        """Opens another session in place of one that is lost; arguments as for `open`.

        Raises:
            ContractMismatchError: If the endpoint is not what it was.
            RlmeshError: What `open` raises.
        """
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        # Where it is this client alone that took the session for lost, the place is freed.
        self.leave(0, politely=False)
        for link in list(self._links):
            self._unlink(link)
        link = self._linked()
        contract = link.contract(timeout)
        check_unchanged(self.contract, self.address, contract)
        return self._open(link, deadline)

    def resume(self, seconds: float) -> Transport:
        """Goes on with the session on a new connection; the transport that its calls cross by then.

        Args:
            seconds: How long the server may take to answer.

        Raises:
            CallTimeoutError: If it does not answer in time.
            SessionLostError: If it does not know the session.
            EndpointDrainingError: If it is shutting down, also if the old connection has told so.
            ConnectionLostError: If it cannot be reached, or the connection breaks.
            EndpointError: If it refuses to go on.
        """
        link = self._linked()
        try:
            transport = self._resume(link, seconds)
        except BaseException:
            self._unlink(link)
            self._check_draining()
            raise
        for other in list(self._links):
            if other is not link:
                self._unlink(other)
        return transport

    def leave(self, sequence: int, *, politely: bool) -> None:
        """Tells the server that the client leaves, so that another may have the environment.

        Args:
            sequence: The number of the call that says so.
            politely: Whether the client is in no call; else the session ends after that call.
        """
        if not self._links:
            return
        # A server that cannot be reached any more ends the session by itself, later.
        with contextlib.suppress(RlmeshError):
            if politely and self._say_close(sequence):
                return
            if self.resume_seconds:
                call = self._resume_call()
                call.leaves = True
                self._linked().begin(session_pb2.SessionRequest(resume=call), _FAREWELL_SECONDS)

    def _say_close(self, sequence: int) -> bool:
        """Says so by the stream, whatever the transport; whether the connection has not broken."""
        close = session_pb2.SessionRequest(sequence=sequence, close=session_pb2.CloseCall())
        wait = Wait("close", time.monotonic() + _FAREWELL_SECONDS, _FAREWELL_SECONDS)
        try:
            self._links[0].ask(close.SerializeToString(), sequence, wait)
        except ConnectionLostError:
            return False
        return True

    def explain(self, error: CallTimeoutError) -> None:
        """Adds to an error what the session's environment is doing, if the server tells."""
        if self._links:
            explain(error, self._links[0].status(), self._opened.session_id)

    def is_deserted(self) -> bool:
        """Whether nobody listens at the endpoint any more, where this machine can tell."""
        return is_deserted(self._address, _LOOK_SECONDS)

    def close(self) -> None:
        """Ends it; the server notices at once. Any thread may, repeatedly."""
        self.closing.set()
        for link in list(self._links):
            link.close()

    def leave_to_parent(self) -> None:
        """Gives back what a forked process holds of its parent's session, which goes on."""
        for link in self._links:
            link.leave_to_parent()

    def _linked(self) -> Connection:
        """A new link, which `close` closes."""
        link = Connection(self._channels, self.address)
        self._links.append(link)
        # Each side sets its own before it looks at the other's.
        if self.closing.is_set():
            link.close()
        return link

    def _unlink(self, link: Connection) -> None:
        link.close()
        with contextlib.suppress(ValueError):
            self._links.remove(link)

    def _open(self, link: Connection, deadline: float) -> Transport:
        options = self._options
        busy = LONGEST_SECONDS if options.busy_timeout is None else options.busy_timeout
        remaining = max(0.001, deadline - time.monotonic()) + busy
        call = session_pb2.OpenCall(
            peer=this_peer(),
            protocol_generation=PROTOCOL_GENERATION,
            as_vector=options.vector is None,
            wait_seconds=busy,
            resumes=self.reconnects,
            request_timeout_seconds=options.request_timeout or 0.0,
        )
        if self._autoreset is not None:
            call.autoreset_mode = self._autoreset.to_proto()
        request = session_pb2.SessionRequest(sequence=1, open=call)
        try:
            answer = link.begin(request, None if remaining >= LONGEST_SECONDS else remaining)
        except CallTimeoutError as error:
            unopened = EndpointUnreachableError(
                f"{self.address} told its contract, but opened no session in time"
            )
            explain(unopened, link.status(), "")
            raise unopened from error
        self._opened = answer.open
        self._check_generation(answer.open.protocol_generation)
        return self._take_transport(link, answer.open.transports)

    def _resume(self, link: Connection, seconds: float) -> Transport:
        request = session_pb2.SessionRequest(resume=self._resume_call())
        try:
            answer = link.begin(request, seconds)
        except ProtocolError as error:
            # What answers is no server of this session: another one, or one that knows none.
            raise SessionLostError(
                f"the session with {self.address} is gone: another server answers there now "
                f"({error}). The episode is lost; reset() starts anew"
            ) from error
        return self._take_transport(link, answer.resume.transports)

    def _resume_call(self) -> session_pb2.ResumeCall:
        return session_pb2.ResumeCall(
            secret=self._opened.secret, protocol_generation=PROTOCOL_GENERATION
        )

    def _take_transport(
        self, link: Connection, offers: Iterable[session_pb2.TransportOffer]
    ) -> Transport:
        transport = link.take_transport(
            offers,
            self._opened.secret,
            wanted=self._options.transport,
            head=PREFIX + self.form.head,
            patience=_SHORT_PATIENCE if self.resume_seconds else _LONG_PATIENCE,
        )
        self.transport = transport.name
        return transport

    def _check_generation(self, generation: int) -> None:
        if not 1 <= generation <= PROTOCOL_GENERATION:
            raise ProtocolError(
                f"the server at {self.address} speaks protocol generation {generation}, this "
                f"client 1 to {PROTOCOL_GENERATION}; upgrade the older of the two"
            )

    def _check_draining(self) -> None:
        """Raises if the connection broke because the server was shutting down."""
        # The first is the one that broke. Another may be one of a thread that waits for its end.
        ended = self._links[0].end() if self._links else None
        if isinstance(ended, EndpointDrainingError):
            raise ended
