"""The connection of a client: finds the endpoint, opens a session, exchanges calls."""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import time
import weakref
from collections.abc import Callable, Generator
from time import perf_counter

import grpc
from google.protobuf.message import DecodeError

from rlmesh.address import LOOPBACK, TcpAddress, parse_address
from rlmesh.client.access import Access
from rlmesh.client.stats import CallStats, Tally
from rlmesh.contract import AutoresetMode, EnvContract, received_contract
from rlmesh.errors import (
    CallTimeoutError,
    EndpointError,
    EndpointUnreachableError,
    InvalidAddressError,
    InvalidArgumentError,
    ProtocolError,
    RlmeshError,
    StateError,
)
from rlmesh.lanes.door import enter_direct, enter_memory
from rlmesh.lanes.failures import error_from_failure, error_from_rpc
from rlmesh.lanes.grpc_lane import GrpcLane
from rlmesh.lanes.lane import Lane, Wait
from rlmesh.lanes.peer import PROTOCOL_GENERATION, this_peer
from rlmesh.lanes.port import Port, Received
from rlmesh.lanes.port_lane import PortLane
from rlmesh.lanes.wire import (
    PREFIX,
    Stepped,
    compile_step_form,
    read_steps,
    stepped,
    write_action,
)
from rlmesh.seconds import check_seconds
from rlmesh.security import ANYBODY, Credentials
from rlmesh_api.v1 import env_service_pb2, env_service_pb2_grpc, session_pb2

# How long a client that leaves waits for the server to confirm it.
_FAREWELL_SECONDS = 2.0
_LANES = ("shm", "direct", "grpc")
_STEP = Wait("step")


class Connection:
    """One session with one endpoint.

    Args:
        address: The endpoint's address.
        connect_timeout: Seconds until the endpoint must have answered; a server that is not up yet
            is tried again until then. None: for ever.
        request_timeout: Seconds until a call must have been answered. None: for ever.
        accept: Raises if the contract is not what the client can drive; asked before the session
            is opened.
        autoreset: When the lanes of a vector environment shall reset themselves; None: as it does.
        lane: The lane to use if it can be had, `shm`, `direct` or `grpc`; None: `RLMESH_LANE`, or
            else the fastest that can be had.
        as_vector: Whether a single environment is driven as the only lane of a vector environment.
        credentials: What the client has to come in with.

    Attributes:
        address: The endpoint's address.
        contract: Its contract.
        lanes: The number of lanes of a vector environment; None for a single one.
        mode: When lanes reset themselves in this session; None where there are none, and where
            nobody tells.

    Raises:
        InvalidAddressError: If the address is none that can be connected to.
        EndpointUnreachableError: If nobody answers in time.
        EndpointBusyError: If another client holds the environment.
        InvalidCredentialsError: If a file of TLS cannot be used, or the token would cross a network
            in plaintext.
        AuthenticationError: If the server does not know the client.
        TlsError: If no trusted connection can be made.
        ProtocolError: If what answers does not speak RLMesh.
    """

    def __init__(
        self,
        address: str,
        *,
        connect_timeout: float | None,
        request_timeout: float | None,
        accept: Callable[[EnvContract], None],
        autoreset: AutoresetMode | None = None,
        lane: str | None = None,
        as_vector: bool = False,
        credentials: Credentials = ANYBODY,
    ) -> None:
        wanted = _wanted_lane(lane)
        check_seconds("connect_timeout_seconds", connect_timeout)
        check_seconds("request_timeout_seconds", request_timeout)
        parsed = parse_address(address)
        if isinstance(parsed, TcpAddress) and parsed.port == 0:
            raise InvalidAddressError(f"{address!r}: port 0 is for servers; give the server's port")
        self.address: str = str(parsed)
        self._host = (
            self.address.removeprefix("tcp://").rpartition(":")[0]
            if isinstance(parsed, TcpAddress)
            else LOOPBACK
        )
        self._access = Access(parsed, credentials)
        # Until the session stands, the time to connect is what counts.
        self._request_timeout: float | None = None
        # Whoever takes the only item has the connection: half as dear as a lock.
        self._free = [True]
        self._sequence = 0
        self._behind = False
        self._closed = False
        self._forked = False
        self._before = False
        self._wait = _STEP
        # The tally of steps is at hand without looking for it.
        self.step_tally: Tally = Tally()
        self._tallies = {"step": self.step_tally}
        self._lane: Lane | None = None
        self._stream: GrpcLane | None = None
        _connections.add(self)
        deadline = None if connect_timeout is None else time.monotonic() + connect_timeout
        self._channel = self._access.channel()
        try:
            stub = env_service_pb2_grpc.EnvServiceStub(self._channel)
            self.contract: EnvContract = self._get_contract(stub, connect_timeout)
            accept(self.contract)
            contract = self.contract
            self.lanes: int | None = contract.num_envs if contract.vector or as_vector else None
            self.mode = autoreset or contract.autoreset_mode
            if self.lanes and not contract.vector:
                self.mode = self.mode or AutoresetMode.NEXT_STEP
                autoreset = self.mode
            self._form = compile_step_form(self.lanes)
            self._read_step = self._form.read_answer
            self._lane = self._stream = GrpcLane(self._channel, self.address)
            opened = self._open(deadline, autoreset, as_vector=as_vector)
            self._lane = self._fastest(self._stream, opened, wanted)
            self._request_timeout = request_timeout
        except BaseException:
            self.close()
            raise

    @property
    def lane(self) -> str:
        """The name of the lane in use."""
        return GrpcLane.name if self._lane is None else self._lane.name

    def step(self, action: bytes) -> Stepped:
        """Has the environment step.

        Args:
            action: The action's slab.

        Returns:
            What it gave; the observation's slab stands where it says until the next call.

        Raises:
            RlmeshError: As the tree in `rlmesh.errors` says.
        """
        # `post_step` and `take` in one frame: here passes every step.
        try:
            self._free.pop()
        except IndexError:
            raise self._in_use() from None
        try:
            timeout = self._request_timeout
            lane = self._begin("step", known=True)
            wait = _STEP if timeout is None else _wait("step", timeout)
            sequence = self._sequence
            message = write_action(sequence, action)
            self._behind = True
            posted = perf_counter()
            try:
                received = lane.exchange(message, sequence, wait)
            except EndpointError:
                # No reset mends this; the lane says so again at every call.
                self._behind = False
                raise
            came = perf_counter()
            self._behind = False
        finally:
            self._free.append(True)
        buffer, start, end = received
        tally = self.step_tally
        tally.posted, tally.came = posted, came
        tally.count += 1
        tally.waiting += came - posted
        tally.sent += len(message)
        tally.received += end - start
        found = self._read_step(buffer, start, end, sequence)
        return self.read_step(received) if found is None else found

    def step_many(self, call: session_pb2.StepManyCall) -> tuple[list[Stepped], RlmeshError | None]:
        """Has the environment step several times.

        Returns:
            What each step gave, and why the one after those failed, if one did.

        Raises:
            RlmeshError: As the tree in `rlmesh.errors` says, if nothing is known of any step.
        """
        self.hold()
        try:
            self.post(session_pb2.SessionRequest(step_many=call), known=True)
            received = self.take()
        finally:
            self.let_go()
        buffer, start, end = received
        found = read_steps(self._form, buffer, start, end, self._sequence)
        if found is not None:
            return found, None
        result = self.read(received, "step_many").step_many
        failure = None
        if result.HasField("failure"):
            failure = error_from_failure(result.failure, self.address)
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
        self.hold()
        try:
            self.post(request, known=True)
            received = self.take()
        finally:
            self.let_go()
        return self.read_step(received)

    def read_step(self, received: Received) -> Stepped:
        """What a step gave, of an answer that may have any form or say that the call failed."""
        return self._stepped(self.read(received, "step").step)

    def _stepped(self, result: session_pb2.StepResult) -> Stepped:
        found = stepped(result, self.lanes)
        if found is None:
            raise ProtocolError(
                f"the answer of {self.address} cannot be read: a step needs a reward and two flags "
                f"for each lane. Its server is another RLMesh than this one, or none"
            )
        return found

    def exchange(
        self,
        request: session_pb2.SessionRequest,
        *,
        known: bool = False,
    ) -> session_pb2.SessionResponse:
        """Sends a request and gives its answer.

        Args:
            request: The request, without its sequence.
            known: Whether the environment's state must be known.

        Raises:
            RlmeshError: As the tree in `rlmesh.errors` says; also what the answer says that failed.
        """
        name = request.WhichOneof("call") or "no call"
        self.hold()
        try:
            self.post(request, known=known)
            received = self.take()
        finally:
            self.let_go()
        return self.read(received, name)

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
        lane = self._begin("step", known=True)
        wait = _STEP if timeout is None else _wait("step", timeout)
        self._post(lane, write_action(self._sequence, action), wait)

    def post(self, request: session_pb2.SessionRequest, *, known: bool) -> None:
        """Sends a request, of which `take` gives the answer; only while the connection is held."""
        name = request.WhichOneof("call") or "no call"
        timeout = self._request_timeout
        lane = self._begin(name, known=known)
        request.sequence = self._sequence
        wait = Wait(name) if timeout is None else _wait(name, timeout)
        self._post(lane, request.SerializeToString(), wait)

    def take(self) -> Received:
        """The answer to what was posted, as it came; only while the connection is held."""
        try:
            received = self._posted_to.take(self._sequence, self._wait)
        except EndpointError:
            # No reset mends this; the lane says so again at every call.
            self._behind = self._before
            raise
        self._behind = self._before
        tally = self._tally
        tally.came = perf_counter()
        tally.waiting += tally.came - tally.posted
        tally.count += 1
        tally.received += received[2] - received[1]
        return received

    def take_step(self) -> Stepped:
        """As `take`, for a step: what it gave."""
        received = self.take()
        found = self._read_step(*received, self._sequence)
        return self.read_step(received) if found is None else found

    def read(self, received: Received, call: str) -> session_pb2.SessionResponse:
        """The message of an answer to that call, unless it says that the call failed."""
        buffer, start, end = received
        try:
            response = session_pb2.SessionResponse.FromString(bytes(buffer[start:end]))
        except DecodeError as error:
            raise ProtocolError(f"{self.address} sent a damaged message: {error}") from error
        if response.sequence != self._sequence:
            raise ProtocolError(
                f"{self.address} answered call {response.sequence} to call {self._sequence}"
            )
        answer = response.WhichOneof("answer")
        if answer == "failure":
            raise error_from_failure(response.failure, self.address)
        if answer != call:
            raise ProtocolError(f"{self.address} answered {answer or 'nothing'} to {call}")
        return response

    def forget(self) -> None:
        """Notes that a reset has made the environment's state known."""
        self._behind = False

    def close(self) -> None:
        """Gives the environment back. May be called repeatedly."""
        if self._closed:
            return
        self._closed = True
        if self._stream is not None:
            # By the stream, whatever the lane: its end is the session's.
            self._say_farewell(self._stream)
            self._stream.close()
        if self._lane is not None:
            self._lane.close()
        self._channel.close()

    def close_at_exit(self) -> None:
        """Closes, unless another thread is in a call, which would have to tell it to somebody."""
        if self._free:
            self.close()

    def leave_to_parent(self) -> None:
        """Leaves the connection alone from now on: it is the parent's of this forked process."""
        self._closed = self._forked = True
        for lane in (self._lane, self._stream):
            if lane is not None:
                lane.leave_to_parent()

    def _say_farewell(self, stream: GrpcLane) -> None:
        """Waits until the server has taken the environment back, so that another may have it."""
        # In the middle of a call the answer may never come; the stream's end says the same, later.
        if self._behind or not self._free:
            return
        self.hold()
        try:
            self._sequence += 1
            farewell = session_pb2.SessionRequest(
                sequence=self._sequence, close=session_pb2.CloseCall()
            ).SerializeToString()
            wait = Wait("close", time.monotonic() + _FAREWELL_SECONDS, _FAREWELL_SECONDS)
            # A connection that is lost already has ended the session as well.
            with contextlib.suppress(RlmeshError):
                stream.post(farewell, wait)
                stream.take(self._sequence, wait)
        finally:
            self._free.append(True)

    def _get_contract(
        self, stub: env_service_pb2_grpc.EnvServiceStub, timeout: float | None
    ) -> EnvContract:
        try:
            response = self._access.ask(
                stub.GetContract,
                env_service_pb2.GetContractRequest(),
                timeout,
                wait_for_ready=True,
            )
        except grpc.RpcError as error:
            failure = error_from_rpc(error, self.address, doing="connecting", timeout=timeout)
            if isinstance(failure, CallTimeoutError):
                raise EndpointUnreachableError(
                    f"nobody answers at {self.address} within {timeout} s; is the server running, "
                    f"and is that its address?"
                ) from error
            raise failure from error
        try:
            return received_contract(response.contract)
        except ValueError as error:
            raise ProtocolError(
                f"the contract of {self.address} cannot be read: {error}. The server is "
                f"RLMesh {response.server.version}; upgrade the older of the two"
            ) from error

    def _fastest(
        self, stream: GrpcLane, opened: session_pb2.OpenResult, wanted: str | None
    ) -> Lane:
        """The first lane on offer that can be had and may be used, else the stream."""
        for offer in opened.lanes:
            if wanted not in (None, offer.lane):
                continue
            port = self._enter(offer, opened.secret)
            if port is not None:
                return PortLane(offer.lane, port, stream, self.address)
        return stream

    def _enter(self, offer: session_pb2.LaneOffer, secret: bytes) -> Port | None:
        if offer.lane == "shm":
            return enter_memory(offer.address, secret)
        if offer.lane == "direct":
            return self._enter_direct(offer.address, secret)
        return None

    def _enter_direct(self, offered: str, secret: bytes) -> Port | None:
        try:
            # Without a host it is to be had where the endpoint is.
            address = parse_address(
                f"{self._host}{offered}" if offered.startswith(":") else offered
            )
        except InvalidAddressError as error:
            raise ProtocolError(f"{self.address} offers no such lane: {error}") from error
        if not isinstance(address, TcpAddress):
            return None
        head = PREFIX + self._form.head
        return enter_direct(
            address.host, address.port, secret, head=head, secure=self._access.secure
        )

    def _open(
        self, deadline: float | None, autoreset: AutoresetMode | None, *, as_vector: bool
    ) -> session_pb2.OpenResult:
        remaining = None if deadline is None else max(0.001, deadline - time.monotonic())
        call = session_pb2.OpenCall(
            peer=this_peer(), protocol_generation=PROTOCOL_GENERATION, as_vector=as_vector
        )
        if autoreset is not None:
            call.autoreset_mode = autoreset.to_proto()
        try:
            with _expiring(self._stream, remaining):
                return self.exchange(session_pb2.SessionRequest(open=call)).open
        except CallTimeoutError as error:
            raise EndpointUnreachableError(
                f"{self.address} told its contract, but opened no session in time"
            ) from error

    def _begin(self, name: str, *, known: bool) -> Lane:
        """Begins a call: gives it a number, if the state is known that it may need."""
        lane = self._lane
        if self._closed or lane is None:
            raise StateError(
                f"the connection to {self.address} belongs to the process that made it, of which "
                f"this is a fork; make a new client here"
                if self._forked
                else f"the connection to {self.address} is closed; make a new client"
            )
        if known and self._behind:
            raise StateError(
                f"{name}: an earlier call to {self.address} was given up before its answer came, "
                f"so this client does not know the environment's state; call reset() first"
            )
        self._sequence += 1
        return lane

    def _post(self, lane: Lane, message: bytes, wait: Wait) -> None:
        self._before = self._behind
        # Until the answer is here, the state is unknown: a deadline or Ctrl-C may end the wait.
        self._behind = True
        self._posted_to, self._wait = lane, wait
        tally = self._tally = self._tallies.setdefault(wait.call, Tally())
        tally.sent += len(message)
        tally.posted = perf_counter()
        try:
            lane.post(message, wait)
        except EndpointError:
            self._behind = self._before
            raise

    def _in_use(self) -> StateError:
        return StateError(
            f"another thread is in a call to {self.address}; a client makes one call at a time"
        )


@contextlib.contextmanager
def _expiring(stream: GrpcLane | None, seconds: float | None) -> Generator[None]:
    """Ends the stream unless the block ends in time."""
    if stream is None or seconds is None:
        yield
        return
    timer = threading.Timer(seconds, stream.expire)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _wait(call: str, timeout: float) -> Wait:
    return Wait(call, time.monotonic() + timeout, timeout)


def _wanted_lane(lane: str | None) -> str | None:
    wanted = lane if lane is not None else os.environ.get("RLMESH_LANE") or None
    if wanted not in (None, *_LANES):
        source = "RLMESH_LANE" if lane is None else "lane"
        raise InvalidArgumentError(
            f"{source} must be one of {', '.join(_LANES)}, or None for the fastest that can be "
            f"had, got {wanted!r}"
        )
    return wanted


_connections: weakref.WeakSet[Connection] = weakref.WeakSet()


def _at_exit() -> None:
    for connection in list(_connections):
        connection.close_at_exit()


def _in_forked_process() -> None:
    """A fork gets the objects and none of gRPC's threads: whatever it asked of them would hang."""
    for connection in _connections:
        connection.leave_to_parent()


atexit.register(_at_exit)
os.register_at_fork(after_in_child=_in_forked_process)
