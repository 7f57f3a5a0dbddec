"""A client's session: how it is opened at an endpoint, and which lane its calls cross by."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Generator

import grpc
from google.protobuf.message import DecodeError

from rlmesh.address import Address
from rlmesh.client.access import Access
from rlmesh.client.entering import enter
from rlmesh.contract import AutoresetMode, EnvContract
from rlmesh.errors import CallTimeoutError, EndpointUnreachableError, ProtocolError, RlmeshError
from rlmesh.lanes.failures import error_from_failure, error_from_rpc
from rlmesh.lanes.grpc_lane import GrpcLane
from rlmesh.lanes.lane import Lane, Wait
from rlmesh.lanes.peer import PROTOCOL_GENERATION, this_peer
from rlmesh.lanes.port import Received
from rlmesh.lanes.port_lane import PortLane
from rlmesh.lanes.wire import PREFIX, StepForm, compile_step_form
from rlmesh.security import Credentials
from rlmesh_api.v1 import env_service_pb2, env_service_pb2_grpc, session_pb2

# How long a client that leaves waits for the server to confirm it.
_FAREWELL_SECONDS = 2.0


class Session:
    """One session with one endpoint.

    Args:
        address: Where the endpoint is.
        credentials: What the client has to come in with.
        accept: Raises if the contract is not what the client can drive; asked before the session
            is opened.
        autoreset: When the lanes of a vector environment shall reset themselves; None: as it does.
        lane: The lane to use if it can be had; None: the fastest.
        as_vector: Whether a single environment is driven as the only lane of a vector environment.

    Attributes:
        contract: The endpoint's contract.
        lanes: The number of lanes of a vector environment; None for a single one.
        mode: When lanes reset themselves; None where there are none, and where nobody tells.
        form: How the result of a step stands in a message.

    Raises:
        InvalidCredentialsError: If a file of TLS cannot be used, or the token would cross a network
            in plaintext.
    """

    contract: EnvContract
    lanes: int | None
    mode: AutoresetMode | None
    form: StepForm

    def __init__(
        self,
        address: Address,
        *,
        credentials: Credentials,
        accept: Callable[[EnvContract], None],
        autoreset: AutoresetMode | None,
        lane: str | None,
        as_vector: bool,
    ) -> None:
        self.address: str = str(address)
        self._access = Access(address, credentials)
        self._accept = accept
        self._autoreset = autoreset
        self._wanted = lane
        self._as_vector = as_vector
        self._channel: grpc.Channel | None = None
        self._stream: GrpcLane | None = None
        self._lane: Lane | None = None

    def open(self, timeout: float | None) -> Lane:
        """Opens the session; the lane that its calls cross by.

        Args:
            timeout: Seconds until the endpoint must have answered; one that is not up yet is tried
                again until then. None: for ever.

        Raises:
            RlmeshError: As `Connection` says.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        channel = self._channel = self._access.channel()
        contract = self._get_contract(env_service_pb2_grpc.EnvServiceStub(channel), timeout)
        self._accept(contract)
        self.contract = contract
        self.lanes = contract.num_envs if contract.vector or self._as_vector else None
        asked = self._autoreset
        self.mode = asked or contract.autoreset_mode
        if self.lanes and not contract.vector:
            asked = self.mode = self.mode or AutoresetMode.NEXT_STEP
        self.form = compile_step_form(self.lanes)
        self._lane = stream = self._stream = GrpcLane(channel, self.address)
        opened = self._open(stream, deadline, asked)
        head = PREFIX + self.form.head
        found = enter(
            opened.lanes, opened.secret, wanted=self._wanted, access=self._access, head=head
        )
        if found is None:
            return stream
        name, port = found
        self._lane = PortLane(name, port, stream, self.address)
        return self._lane

    def say_farewell(self, sequence: int) -> None:
        """Waits until the server has taken the environment back, so that another may have it."""
        stream = self._stream
        if stream is None:
            return
        farewell = session_pb2.SessionRequest(sequence=sequence, close=session_pb2.CloseCall())
        wait = Wait("close", time.monotonic() + _FAREWELL_SECONDS, _FAREWELL_SECONDS)
        # By the stream, whatever the lane: its end is the session's. A connection that is lost
        # already has ended the session as well.
        with contextlib.suppress(RlmeshError):
            stream.exchange(farewell.SerializeToString(), sequence, wait)

    def close(self) -> None:
        """Ends it; the server notices at once. May be called repeatedly."""
        for lane in (self._stream, self._lane):
            if lane is not None:
                lane.close()
        if self._channel is not None:
            self._channel.close()

    def leave_to_parent(self) -> None:
        """Gives back what a forked process holds of its parent's session, which goes on."""
        for lane in (self._lane, self._stream):
            if lane is not None:
                lane.leave_to_parent()

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
            return EnvContract.from_proto(response.contract)
        except ValueError as error:
            raise ProtocolError(
                f"the contract of {self.address} cannot be read: {error}. The server is "
                f"RLMesh {response.server.version}; upgrade the older of the two"
            ) from error

    def _open(
        self, stream: GrpcLane, deadline: float | None, asked: AutoresetMode | None
    ) -> session_pb2.OpenResult:
        remaining = None if deadline is None else max(0.001, deadline - time.monotonic())
        call = session_pb2.OpenCall(
            peer=this_peer(), protocol_generation=PROTOCOL_GENERATION, as_vector=self._as_vector
        )
        if asked is not None:
            call.autoreset_mode = asked.to_proto()
        request = session_pb2.SessionRequest(sequence=1, open=call)
        try:
            with _expiring(stream, remaining):
                received = stream.exchange(request.SerializeToString(), 1, Wait("open"))
        except CallTimeoutError as error:
            raise EndpointUnreachableError(
                f"{self.address} told its contract, but opened no session in time"
            ) from error
        return read_answer(received, "open", 1, self.address).open


def read_answer(
    received: Received, call: str, sequence: int, address: str
) -> session_pb2.SessionResponse:
    """The message of an answer to that call, unless it says that the call failed.

    Raises:
        ProtocolError: If it cannot be read, or is the answer to another call.
        RlmeshError: What the answer says that failed.
    """
    buffer, start, end = received
    try:
        response = session_pb2.SessionResponse.FromString(bytes(buffer[start:end]))
    except DecodeError as error:
        raise ProtocolError(f"{address} sent a damaged message: {error}") from error
    if response.sequence != sequence:
        raise ProtocolError(f"{address} answered call {response.sequence} to call {sequence}")
    answer = response.WhichOneof("answer")
    if answer == "failure":
        raise error_from_failure(response.failure, address)
    if answer != call:
        raise ProtocolError(f"{address} answered {answer or 'nothing'} to {call}")
    return response


@contextlib.contextmanager
def _expiring(stream: GrpcLane, seconds: float | None) -> Generator[None]:
    """Ends the stream unless the block ends in time."""
    if seconds is None:
        yield
        return
    timer = threading.Timer(seconds, stream.expire)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
