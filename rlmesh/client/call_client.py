"""The connection of a client: exchanges calls with the environment, one at a time."""

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
    SessionLostError,
    StateError,
)
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
        mode: When sub-environments reset themselves in this session; None where there are none, and
            where nobody tells.

    Raises:
        InvalidAddressError: If the address is none that can be connected to.
        EndpointUnreachableError: If nobody answers in time.
        EndpointBusyError: If every place is taken by other clients, and stays so.
        InvalidCredentialsError: If a file of TLS cannot be used, or the token would cross a network
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
        # Whoever takes the only item has the connection: half as dear as a lock.
        self._free = [True]
        self._behind = False
        self._closed = False
        self._forked = False
        self._before = False
        self._wait = _STEP
        self._message = b""
        # The tally of steps is at hand without looking for it.
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

    def step(self, action: bytes, began: float) -> Stepped:
        """Has the environment step.

        Args:
            action: The action's slab.
            began: When its encoding began, on the clock of `time.perf_counter`.

        Returns:
            What it gave; the observation's slab stands where it says until the next call.

        Raises:
            RlmeshError: As the tree in `rlmesh.errors` says.
        """
        # `post_step`, `_begin` and `take` in one frame: here passes every step.
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
            What each step gave, and why the one after those failed, if one did.

        Raises:
            RlmeshError: As the tree in `rlmesh.errors` says, if nothing is known of any step.
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
        told = self.exchange(session_pb2.SessionRequest(stats=session_pb2.StatsCall())).stats
        return {
            call.call: self._tallies.setdefault(call.call, Tally()).stats(call)
            for call in told.calls
            if call.count and call.call != "stats"
        }

    def exchange_step(self, request: session_pb2.SessionRequest) -> Stepped:
        """As `step`, for a call that has more in it than an action's slab."""
        return self.read_step(self.call(request, known=True))

    def read_step(self, received: Received) -> Stepped:
        """What a step gave, of an answer that may have any form or say that the call failed."""
        return self._stepped(self.read(received, "step").step)

    def _stepped(self, result: session_pb2.StepResult) -> Stepped:
        found = stepped(result, self.num_envs)
        if found is None:
            raise ProtocolError(
                f"the answer of {self.address} cannot be read: a step needs a reward and two flags "
                f"for each sub-environment. Its server is another RLMesh than this one, or none"
            )
        return found

    def exchange(self, request: session_pb2.SessionRequest) -> session_pb2.SessionResponse:
        """Sends a request that goes without a known state, and gives its answer.

        Args:
            request: The request, without its sequence.

        Raises:
            RlmeshError: As the tree in `rlmesh.errors` says; also what the answer says that failed.
        """
        return self.read(self.call(request, known=False), _name(request))

    def call(self, request: session_pb2.SessionRequest, *, known: bool) -> Received:
        """Sends a request, and gives its answer as it came.

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

    def hold(self) -> None:
        """Keeps the connection to the calls of this thread, until `let_go`."""
        try:
            self._free.pop()
        except IndexError:
            raise self._in_use() from None

    def let_go(self) -> None:
        """Lets other threads call, too."""
        self._free.append(True)

    def post_step(self, action: bytes) -> None:
        """Sends a step, of which `take` gives the answer; only while the connection is held."""
        timeout = self._request_timeout
        transport = self._begin("step", known=True)
        wait = _STEP if timeout is None else _wait("step", timeout)
        self._post(transport, write_action(self._sequence, action), wait)

    def post(self, request: session_pb2.SessionRequest, *, known: bool) -> None:
        """Sends a request, of which `take` gives the answer; only while the connection is held."""
        name = _name(request)
        timeout = self._request_timeout
        transport = self._begin(name, known=known)
        request.sequence = self._sequence
        wait = Wait(name) if timeout is None else _wait(name, timeout)
        self._post(transport, request.SerializeToString(), wait)

    def take(self) -> Received:
        """The answer to what was posted, as it came; only while the connection is held."""
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
        """As `take`, for a step: what it gave."""
        received = self.take()
        found = self._read_step(*received, self._sequence)
        return self.read_step(received) if found is None else found

    def read(self, received: Received, call: str) -> session_pb2.SessionResponse:
        """The message of an answer to that call, unless it says that the call failed."""
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
        if not isinstance(self._reconnect.lost, SessionLostError | EndpointDrainingError):
            # In the middle of a call the answer may never come, and no connection may be there.
            idle = self._transport is not None and bool(self._free) and not self._behind
            self._session.leave(self._sequence + 1, politely=idle)
        self._session.close()

    def close_at_exit(self) -> None:
        """Closes, unless another thread is in a call, which would have to tell it to somebody."""
        if self._free:
            self.close()

    def leave_to_parent(self) -> None:
        """Leaves the connection alone from now on: it is the parent's of this forked process."""
        self._closed = self._forked = True
        self._session.leave_to_parent()

    def _begin(self, name: str, *, known: bool) -> Transport:
        """Begins a call: gives it a number, if the state is known that it may need."""
        transport = self._transport
        if self._closed or transport is None:
            transport = self._transport_for(name, known=known)
        if known and self._behind:
            raise self._unknown(name)
        self._sequence += 1
        return transport

    def _transport_for(self, name: str, *, known: bool) -> Transport:
        """A transport for a call that finds none."""
        if self._closed:
            raise StateError(
                f"the connection to {self.address} belongs to the process that made it, of which "
                f"this is a fork; make a new client here"
                if self._forked
                else f"the connection to {self.address} is closed; make a new client"
            )
        if known and self._behind:
            raise self._unknown(name)
        anew = self._reconnect.lost is not None
        timeout = self._request_timeout
        transport = self._reconnect.transport_for(
            Wait(name) if timeout is None else _wait(name, timeout)
        )
        if anew:
            self._sequence = 1
            for tally in self._tallies.values():
                tally.clear()
        self._transport = transport
        return transport

    def _mend(self, error: EndpointError, message: bytes, wait: Wait) -> Received:
        """The answer to a call over which the connection broke, if it can be had after all."""
        reconnect = self._reconnect
        try:
            # A client that is being closed by another thread gives its session back at first.
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
            # No reset mends what is over; the next call says so.
            self._behind = self._behind and reconnect.lost is None

    def _note(self, error: RlmeshError) -> None:
        """Notes what an error that the server told means for the calls to come."""
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
        # Until the answer is here, the state is unknown: a deadline or Ctrl-C may end the wait.
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
    """A fork gets the objects and none of gRPC's threads: whatever it asked of them would hang."""
    for connection in _connections:
        connection.leave_to_parent()


atexit.register(_at_exit)
os.register_at_fork(after_in_child=_in_forked_process)
