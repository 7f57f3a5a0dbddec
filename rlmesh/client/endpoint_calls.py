"""The calls of one session, whatever its endpoint: one at a time, each answered once."""

from __future__ import annotations

import atexit
import os
import time
import weakref
from time import perf_counter
from typing import TYPE_CHECKING

from rlmesh.address import Address
from rlmesh.client.channel import dialable
from rlmesh.client.connect_options import ConnectOptions
from rlmesh.client.connection import read_answer
from rlmesh.client.endpoint import Endpoint
from rlmesh.client.reconnect import Reconnect
from rlmesh.client.session import Session
from rlmesh.client.stats import Tally
from rlmesh.errors import (
    CallTimeoutError,
    EndpointBusyError,
    EndpointDrainingError,
    EndpointError,
    RlmeshError,
    StateError,
)
from rlmesh.tracing import configured_tracer
from rlmesh.transports.pipe import Received
from rlmesh.transports.transport import Transport, Wait, closed_meanwhile
from rlmesh_api.v1 import session_pb2

if TYPE_CHECKING:
    from rlmesh.client.call_spans import CallSpans


class EndpointCalls:
    """One session with one endpoint.

    Args:
        address: The endpoint's address.
        options: How to connect.
        endpoint: What only the kind of the endpoint knows.
        hot_call: The name of the call that is made most.

    Attributes:
        address: The endpoint's address.
        hot_tally: What the calls of that name have cost.
        gave_way: Whether it was closed so that a newer client could have its place.
        spans: The spans of OpenTelemetry; None: this process makes none.

    Raises:
        InvalidAddressError: If a client cannot connect to such an address.
        EndpointUnreachableError: If no server answers in time.
        EndpointBusyError: If other clients hold every session, until the busy timeout.
        WrongEndpointKindError: If the endpoint is of another kind.
        InvalidCredentialsError: If a TLS file cannot be used, or the token would cross a network
            in plaintext.
        AuthenticationError: If the server does not know the client.
        TlsError: If no trusted connection can be made.
        ProtocolError: If what answers does not speak RLMesh.
    """

    def __init__(
        self, address: str, options: ConnectOptions, endpoint: Endpoint, hot_call: str
    ) -> None:
        parsed = dialable(address)
        self.address: str = str(parsed)
        self.spans: CallSpans | None = _spans(parsed, endpoint)
        session = self._session = Session(parsed, options, endpoint, self.spans)
        limits = [options.connect_timeout, options.longest_resume]
        self._reconnect = Reconnect(
            session, min((limit for limit in limits if limit is not None), default=None)
        )
        self._request_timeout = options.request_timeout
        # The thread that pops the only item may call: half the cost of a lock. It guards all fields
        # below but `_closed` and `_forked`, which `close` and a fork set.
        self._free = [True]
        self._pending = False
        self._behind = False
        self._closed = False
        self._forked = False
        self.gave_way: bool = False
        self._before = False
        self._wait = Wait(hot_call)
        # None: the transport has it.
        self._message: bytes | None = b""
        # An attribute, to save a lookup on the path of that call.
        self.hot_tally: Tally = Tally()
        self._tallies = {hot_call: self.hot_tally}
        self._sequence: int = 0
        self._transport: Transport | None = None
        _connections.add(self)
        try:
            self._transport = self._reconnect.transport = session.open(options.connect_timeout)
        except BaseException:
            self.close()
            raise
        # `open` was the first call.
        self._sequence = 1

    @property
    def transport(self) -> str:
        """The name of the transport in use, or of the last one."""
        return self._session.transport

    @property
    def lost(self) -> EndpointError | None:
        """Why the session is over; None while it is not."""
        return self._reconnect.lost

    @property
    def exposed(self) -> frozenset[str]:
        """The names of the attributes that the server exposes."""
        return self._session.exposed

    def call_stats(self) -> dict[str, tuple[Tally, session_pb2.CallStats]]:
        """What the calls of each kind have cost in this session, on both sides."""
        answer = self.exchange(session_pb2.SessionRequest(stats=session_pb2.StatsCall())).stats
        return {
            call.call: (self._tallies.setdefault(call.call, Tally()), call)
            for call in answer.calls
            if call.count and call.call != "stats"
        }

    def exchange(self, request: session_pb2.SessionRequest) -> session_pb2.SessionResponse:
        """Sends a request that needs no known state, and returns its answer.

        Args:
            request: The request, without its sequence.

        Raises:
            RlmeshError: As the tree in `rlmesh.errors` says; also the failure in the answer.
        """
        return self.read(self.call(request, known=False), _name(request))

    def call(self, request: session_pb2.SessionRequest, *, known: bool) -> Received:
        """Sends a request, and returns its answer as bytes.

        Args:
            request: The request, without its sequence.
            known: Whether the state of what is served must be known.

        Raises:
            RlmeshError: As the tree in `rlmesh.errors` says.
        """
        self.hold()
        try:
            self.post(request, known=known)
            return self.take()
        finally:
            self.let_go()

    def hold(self, *, pending: bool = False) -> None:
        """Reserves this client for the calls of this thread, until `let_go`.

        Args:
            pending: Whether the caller gets control back before that, and may call by mistake.
        """
        try:
            self._free.pop()
        except IndexError:
            raise self._in_use() from None
        self._pending = pending

    def let_go(self) -> None:
        """Lets other threads call again."""
        self._pending = False
        self._free.append(True)

    def limit(self, timeout: float | None) -> None:
        """Has `take` wait no longer than so many seconds from now on; None: as before."""
        if timeout is not None:
            self._wait = wait_for(self._wait.call, timeout)

    def post(self, request: session_pb2.SessionRequest, *, known: bool) -> None:
        """Sends a request, whose answer `take` returns; only between `hold` and `let_go`."""
        name = _name(request)
        timeout = self._request_timeout
        transport = self._begin(name, known=known)
        request.sequence = self._sequence
        if self.spans is not None:
            carried = self.spans.carried()
            if carried is not None:
                request.trace.CopyFrom(carried)
        wait = Wait(name) if timeout is None else wait_for(name, timeout)
        self._post(transport, request.SerializeToString(), wait)

    def take(self) -> Received:
        """Awaits the answer to the posted call; only between `hold` and `let_go`."""
        try:
            received = self._posted_to.take(self._sequence, self._wait)
        except EndpointError as error:
            message = self._message
            if message is None:
                message = self._posted_to.posted()
            received = self._mend(error, message, self._wait)
        except CallTimeoutError as error:
            self._session.explain(error)
            raise
        self._behind = self._before
        tally = self._tally
        tally.came = tally.done = perf_counter()
        tally.open = received[2] - received[1]
        return received

    def read(self, received: Received, call: str) -> session_pb2.SessionResponse:
        """Reads the answer to a call, or raises the failure that it reports."""
        try:
            return read_answer(received, call, self._sequence, self.address)
        except RlmeshError as error:
            self._note(error)
            raise

    def forget(self) -> None:
        """Notes that a reset has made the state known."""
        self._behind = False

    def close(self) -> None:
        """Gives what is served back. May be called repeatedly."""
        if self._closed:
            return
        self._closed = True
        # A session that the client took for lost may still hold its place.
        if not isinstance(self._reconnect.lost, EndpointDrainingError):
            # In the middle of a call the answer may never come, and no connection may be there.
            idle = self._transport is not None and bool(self._free) and not self._behind
            self._session.leave(self._sequence + 1, politely=idle)
        self._session.close()

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return self._closed

    def give_way(self) -> None:
        """Closes, so that a newer client of this process can have the place."""
        self.gave_way = True
        self.close()

    def close_at_exit(self) -> None:
        """Closes, unless another thread is in a call, where it would raise an error unheard."""
        if self._free:
            self.close()

    def leave_to_parent(self) -> None:
        """Does not use the connection any more: it belongs to the parent of this forked process."""
        self._closed = self._forked = True
        self._session.leave_to_parent()

    def _begin(self, name: str, *, known: bool) -> Transport:
        """Begins a call: gives it a number, unless it needs a state that is unknown."""
        transport = self._transport
        if self._closed or transport is None:
            transport = self._transport_for(name, known=known)
        if known and self._behind:
            raise self._unknown(name)
        self._sequence += 1
        return transport

    def _transport_for(self, name: str, *, known: bool) -> Transport:
        """Connects again, for a call that finds no transport."""
        if self._closed:
            raise StateError(f"the connection to {self.address} {self._why_closed()}")
        if known and self._behind:
            raise self._unknown(name)
        reopens = self._reconnect.lost is not None
        timeout = self._request_timeout
        transport = self._reconnect.transport_for(
            Wait(name) if timeout is None else wait_for(name, timeout)
        )
        if reopens:
            self._sequence = 1
            for tally in self._tallies.values():
                tally.clear()
        self._transport = transport
        return transport

    def _why_closed(self) -> str:
        if self._forked:
            return (
                "belongs to the process that made it, of which this is a fork; make a new client "
                "here"
            )
        if self.gave_way:
            return (
                "is closed: the code that made this client ran again, and this client gave its "
                "place up to the newer one; use that"
            )
        return "is closed; make a new client"

    def _mend(self, error: EndpointError, message: bytes, wait: Wait) -> Received:
        """Reconnects after the connection broke in a call, and returns the call's answer."""
        reconnect = self._reconnect
        try:
            # Another thread is closing this client, and has ended the session.
            if self._closed:
                raise closed_meanwhile(wait, self.address)
            return reconnect.exchange(error, message, self._sequence, wait)
        except EndpointError:
            if self._closed:
                raise closed_meanwhile(wait, self.address) from None
            raise
        except CallTimeoutError as late:
            self._session.explain(late)
            raise
        finally:
            del error
            self._transport = reconnect.transport
            # A reset does not bring back a session that is over; the next call reports that.
            self._behind = self._behind and reconnect.lost is None

    def _note(self, error: RlmeshError) -> None:
        """Notes what a failure that the server reported means for later calls."""
        if isinstance(error, CallTimeoutError):
            self._behind = True
            self._session.explain(error)
        elif isinstance(error, EndpointError) and not isinstance(error, EndpointBusyError):
            # A model that is busy refuses one call, and the session lives on.
            self._transport = None
            self._reconnect.lose(error)

    def _unknown(self, name: str) -> StateError:
        return StateError(
            f"{name}: an earlier call to {self.address} was given up before its answer came, "
            f"so this client does not know the state of the episode; call reset() first"
        )

    def _post_written(self, transport: Transport, start: int, end: int, wait: Wait) -> None:
        """Sends what was written between two offsets of what the transport has reserved."""
        # As in `_post`, which has no other frame for it: every step passes there.
        self._before = self._behind
        self._behind = True
        self._posted_to, self._wait, self._message = transport, wait, None
        tally = self._tally = self._tallies.setdefault(wait.call, Tally())
        tally.settle()
        tally.sent += end - start
        tally.posted = perf_counter()
        transport.post_written(start, end)

    def _post(self, transport: Transport, message: bytes, wait: Wait) -> None:
        self._before = self._behind
        # Until the answer has come, the state is unknown: a deadline or Ctrl-C may end the wait.
        self._behind = True
        self._posted_to, self._wait, self._message = transport, wait, message
        tally = self._tally = self._tallies.setdefault(wait.call, Tally())
        tally.settle()
        tally.sent += len(message)
        tally.posted = perf_counter()
        try:
            transport.post(message, wait)
        except EndpointError as error:
            try:
                self._posted_to = self._reconnect.post(error, message, wait)
            finally:
                self._transport = self._reconnect.transport
                self._behind = self._behind and self._reconnect.lost is None

    def _in_use(self) -> StateError:
        if self._pending:
            # Gymnasium is there where a client of an environment is.
            from rlmesh.parallel.pending import PendingError

            return PendingError(
                f"results of steps of {self.address} were not taken; call step_wait() or recv() "
                f"first, or reset()"
            )
        return StateError(
            f"another thread is in a call to {self.address}; a client makes one call at a time"
        )


def _spans(address: Address, endpoint: Endpoint) -> CallSpans | None:
    tracer = configured_tracer()
    if tracer is None:
        return None
    # Only here: OpenTelemetry may not be installed.
    from rlmesh.client.call_spans import CallSpans

    return CallSpans(tracer, address, endpoint.kind.service)


def _name(request: session_pb2.SessionRequest) -> str:
    return request.WhichOneof("call") or "no call"


def wait_for(call: str, timeout: float) -> Wait:
    """A call that begins now and may take so many seconds."""
    return Wait(call, time.monotonic() + timeout, timeout)


_connections: weakref.WeakSet[EndpointCalls] = weakref.WeakSet()


def _at_exit() -> None:
    for connection in list(_connections):
        connection.close_at_exit()


def _in_forked_process() -> None:
    """A fork has the objects but none of gRPC's threads: a call on them would never return."""
    for connection in _connections:
        connection.leave_to_parent()


atexit.register(_at_exit)
os.register_at_fork(after_in_child=_in_forked_process)
