"""Exchanges the calls of a client with its endpoint, one at a time."""

from __future__ import annotations

import atexit
import os
import time
import weakref
from time import perf_counter

from rlmesh.client.channel import dialable
from rlmesh.client.connect_options import ConnectOptions
from rlmesh.client.connection import read_answer
from rlmesh.client.reconnect import Reconnect
from rlmesh.client.session import Session
from rlmesh.client.stats import CallStats, Tally
from rlmesh.codec.step.protocols import Stepped
from rlmesh.codec.step.result import read_steps, stepped
from rlmesh.codec.step.wire import write_action
from rlmesh.contract import AutoresetMode, EnvContract
from rlmesh.errors import (
    CallTimeoutError,
    EndpointDrainingError,
    EndpointError,
    ProtocolError,
    RlmeshError,
    StateError,
)
from rlmesh.parallel.pending import PendingError
from rlmesh.transports.failures import error_from_failure
from rlmesh.transports.pipe import Received
from rlmesh.transports.transport import Transport, Wait, closed_meanwhile
from rlmesh_api.v1 import session_pb2

_STEP = Wait("step")


class CallClient:
    """One session with one endpoint.

    Args:
        address: The endpoint's address.
        options: How to connect.

    Attributes:
        address: The endpoint's address.
        contract: Its contract.
        num_envs: The number of sub-environments of a vector environment; None for a single one.
        mode: When sub-environments reset themselves in this session; None for a single
            environment, and where neither the contract nor the caller says.

    Raises:
        InvalidAddressError: If a client cannot connect to such an address.
        EndpointUnreachableError: If no server answers in time.
        EndpointBusyError: If other clients hold every session, until the busy timeout.
        InvalidCredentialsError: If a TLS file cannot be used, or the token would cross a network
            in plaintext.
        AuthenticationError: If the server does not know the client.
        TlsError: If no trusted connection can be made.
        ProtocolError: If what answers does not speak RLMesh.
    """

    def __init__(self, address: str, options: ConnectOptions) -> None:
        parsed = dialable(address)
        self.address: str = str(parsed)
        session = self._session = Session(parsed, options)
        self._reconnect = Reconnect(session, options.connect_timeout)
        self._request_timeout = options.request_timeout
        # The thread that pops the only item may call: half the cost of a lock. It guards all fields
        # below but `_closed` and `_forked`, which `close` and a fork set.
        self._free = [True]
        self._pending = False
        self._behind = False
        self._closed = False
        self._forked = False
        self._before = False
        self._wait = _STEP
        self._message = b""
        # The tally of steps is an attribute, to save a lookup on the path of a step.
        self.step_tally: Tally = Tally()
        self._tallies = {"step": self.step_tally}
        self._sequence = 0
        self._transport: Transport | None = None
        _connections.add(self)
        try:
            self._transport = self._reconnect.transport = session.open(options.connect_timeout)
        except BaseException:
            self.close()
            raise
        # `open` was the first call.
        self._sequence = 1
        self.contract: EnvContract = session.contract
        self.num_envs: int | None = session.num_envs
        self.mode: AutoresetMode | None = session.mode
        self._form = session.form
        self._read_step = self._form.read_answer

    @property
    def transport(self) -> str:
        """The name of the transport in use, or of the last one."""
        return self._session.transport

    @property
    def exposed(self) -> frozenset[str]:
        """The names of the attributes that the server exposes."""
        return self._session.exposed

    def step(self, action: bytes, began: float) -> Stepped:
        """Has the environment step.

        Args:
            action: The action's slab.
            began: When its encoding began, on the clock of `time.perf_counter`.

        Returns:
            The result; the observation's slab is valid until the next call.

        Raises:
            RlmeshError: As the tree in `rlmesh.errors` says.
        """
        # Station 3 of a step (docs/architecture.md): the call gets the next number and is posted on
        # the transport. The code of `post_step`, `_begin` and `take` stands here again, to save
        # three frames on the path of a step.
        try:
            self._free.pop()
        except IndexError:
            raise self._in_use() from None
        try:
            timeout = self._request_timeout
            transport = self._transport
            if self._closed or self._behind or transport is None:
                transport = self._begin("step", known=True)
                sequence = self._sequence
            else:
                sequence = self._sequence = self._sequence + 1
            wait = _STEP if timeout is None else _wait("step", timeout)
            message = write_action(sequence, action)
            tally = self.step_tally
            self._behind = True
            posted = perf_counter()
            try:
                transport.post(message, wait)
                tally.begin(began, posted, len(message))
                received = transport.take(sequence, wait)
            except EndpointError as error:
                tally.begin(began, posted, len(message))
                received = self._mend(error, message, wait)
            except CallTimeoutError as error:
                self._session.explain(error)
                raise
            # Station 11 of a step: the client is awake; the sequence number is checked below.
            tally.came = tally.done = perf_counter()
            self._behind = False
        finally:
            self._free.append(True)
        buffer, start, end = received
        tally.open = end - start
        found = self._read_step(buffer, start, end, sequence)
        return self.read_step(received) if found is None else found

    def step_many(self, call: session_pb2.StepManyCall) -> tuple[list[Stepped], RlmeshError | None]:
        """Has the environment step several times.

        Returns:
            The result of each step, and the failure of the step after those, if it failed.

        Raises:
            RlmeshError: As the tree in `rlmesh.errors` says, if there is no result of any step.
        """
        received = self.call(session_pb2.SessionRequest(step_many=call), known=True)
        buffer, start, end = received
        found = read_steps(self._form, buffer, start, end, self._sequence)
        if found is not None:
            return found, None
        result = self.read(received, "step_many").step_many
        failure = None
        if result.HasField("failure"):
            failure = error_from_failure(result.failure, self.address)
            self._note(failure)
        return [self._stepped(step) for step in result.steps], failure

    def stats(self) -> dict[str, CallStats]:
        """What the calls of each kind have cost in this session."""
        answer = self.exchange(session_pb2.SessionRequest(stats=session_pb2.StatsCall())).stats
        return {
            call.call: self._tallies.setdefault(call.call, Tally()).stats(call)
            for call in answer.calls
            if call.count and call.call != "stats"
        }

    def exchange_step(self, request: session_pb2.SessionRequest) -> Stepped:
        """As `step`, for a call that has more in it than an action's slab."""
        return self.read_step(self.call(request, known=True))

    def read_step(self, received: Received) -> Stepped:
        """Reads a step's answer in any form, or raises the failure that it reports."""
        return self._stepped(self.read(received, "step").step)

    def _stepped(self, result: session_pb2.StepResult) -> Stepped:
        found = stepped(result, self.num_envs)
        if found is None:
            raise ProtocolError(
                f"the answer of {self.address} cannot be read: a step needs a reward and two flags "
                f"for each sub-environment. Its server is another version of RLMesh, or no RLMesh "
                f"server"
            )
        return found

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
            known: Whether the environment's state must be known.

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
            self._wait = _wait(self._wait.call, timeout)

    def post_step(self, action: bytes) -> None:
        """Sends a step, whose answer `take` returns; only between `hold` and `let_go`."""
        timeout = self._request_timeout
        transport = self._begin("step", known=True)
        wait = _STEP if timeout is None else _wait("step", timeout)
        self._post(transport, write_action(self._sequence, action), wait)

    def post(self, request: session_pb2.SessionRequest, *, known: bool) -> None:
        """Sends a request, whose answer `take` returns; only between `hold` and `let_go`."""
        name = _name(request)
        timeout = self._request_timeout
        transport = self._begin(name, known=known)
        request.sequence = self._sequence
        wait = Wait(name) if timeout is None else _wait(name, timeout)
        self._post(transport, request.SerializeToString(), wait)

    def take(self) -> Received:
        """Awaits the answer to the posted call; only between `hold` and `let_go`."""
        try:
            received = self._posted_to.take(self._sequence, self._wait)
        except EndpointError as error:
            received = self._mend(error, self._message, self._wait)
        except CallTimeoutError as error:
            self._session.explain(error)
            raise
        self._behind = self._before
        tally = self._tally
        tally.came = tally.done = perf_counter()
        tally.open = received[2] - received[1]
        return received

    def take_step(self) -> Stepped:
        """As `take`, for a step; returns its result."""
        received = self.take()
        found = self._read_step(*received, self._sequence)
        return self.read_step(received) if found is None else found

    def read(self, received: Received, call: str) -> session_pb2.SessionResponse:
        """Reads the answer to a call, or raises the failure that it reports."""
        try:
            return read_answer(received, call, self._sequence, self.address)
        except RlmeshError as error:
            self._note(error)
            raise

    def forget(self) -> None:
        """Notes that a reset has made the environment's state known."""
        self._behind = False

    def close(self) -> None:
        """Gives the environment back. May be called repeatedly."""
        if self._closed:
            return
        self._closed = True
        # A session that the client took for lost may still hold its place.
        if not isinstance(self._reconnect.lost, EndpointDrainingError):
            # In the middle of a call the answer may never come, and no connection may be there.
            idle = self._transport is not None and bool(self._free) and not self._behind
            self._session.leave(self._sequence + 1, politely=idle)
        self._session.close()

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
            raise StateError(
                f"the connection to {self.address} belongs to the process that made it, of which "
                f"this is a fork; make a new client here"
                if self._forked
                else f"the connection to {self.address} is closed; make a new client"
            )
        if known and self._behind:
            raise self._unknown(name)
        reopens = self._reconnect.lost is not None
        timeout = self._request_timeout
        transport = self._reconnect.transport_for(
            Wait(name) if timeout is None else _wait(name, timeout)
        )
        if reopens:
            self._sequence = 1
            for tally in self._tallies.values():
                tally.clear()
        self._transport = transport
        return transport

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
        elif isinstance(error, EndpointError):
            self._transport = None
            self._reconnect.lose(error)

    def _unknown(self, name: str) -> StateError:
        return StateError(
            f"{name}: an earlier call to {self.address} was given up before its answer came, "
            f"so this client does not know the environment's state; call reset() first"
        )

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
            return PendingError(
                f"results of steps of {self.address} were not taken; call step_wait() or recv() "
                f"first, or reset()"
            )
        return StateError(
            f"another thread is in a call to {self.address}; a client makes one call at a time"
        )


def _name(request: session_pb2.SessionRequest) -> str:
    return request.WhichOneof("call") or "no call"


def _wait(call: str, timeout: float) -> Wait:
    return Wait(call, time.monotonic() + timeout, timeout)


_connections: weakref.WeakSet[CallClient] = weakref.WeakSet()


def _at_exit() -> None:
    for connection in list(_connections):
        connection.close_at_exit()


def _in_forked_process() -> None:
    """A fork has the objects but none of gRPC's threads: a call on them would never return."""
    for connection in _connections:
        connection.leave_to_parent()


atexit.register(_at_exit)
os.register_at_fork(after_in_child=_in_forked_process)
