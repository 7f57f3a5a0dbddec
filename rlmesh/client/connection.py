"""The connection of a client: finds the endpoint, opens a session, exchanges calls."""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import time
import weakref
from collections.abc import Callable

import grpc

from rlmesh.address import TcpAddress, parse_address
from rlmesh.contract import AutoresetMode, EnvContract
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
from rlmesh.lanes.door import enter
from rlmesh.lanes.failures import error_from_failure, error_from_rpc
from rlmesh.lanes.grpc_lane import GrpcLane
from rlmesh.lanes.grpc_options import channel_options
from rlmesh.lanes.peer import PROTOCOL_GENERATION, this_peer
from rlmesh.lanes.shm_lane import ShmLane
from rlmesh.seconds import check_seconds
from rlmesh_api.v1 import env_service_pb2, env_service_pb2_grpc, session_pb2

# How long a client that leaves waits for the server to confirm it.
_FAREWELL_SECONDS = 2.0
_LANES = (ShmLane.name, GrpcLane.name)


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

        lane: The lane to use if it can be had, `shm` or `grpc`; None: `RLMESH_LANE`, or else the
            fastest that can be had.

    Raises:
        InvalidAddressError: If the address is none that can be connected to.
        EndpointUnreachableError: If nobody answers in time.
        EndpointBusyError: If another client holds the environment.
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
    ) -> None:
        wanted = _wanted_lane(lane)
        check_seconds("connect_timeout_seconds", connect_timeout)
        check_seconds("request_timeout_seconds", request_timeout)
        parsed = parse_address(address)
        if isinstance(parsed, TcpAddress) and parsed.port == 0:
            raise InvalidAddressError(f"{address!r}: port 0 is for servers; give the server's port")
        self.address = str(parsed)
        self._request_timeout = request_timeout
        self._lock = threading.Lock()
        self._sequence = 0
        self._behind = False
        self._closed = False
        self._forked = False
        self._lane: GrpcLane | ShmLane | None = None
        self._stream: GrpcLane | None = None
        _connections.add(self)
        deadline = None if connect_timeout is None else time.monotonic() + connect_timeout
        self._channel = grpc.insecure_channel(parsed.dial_target, options=channel_options(parsed))
        try:
            stub = env_service_pb2_grpc.EnvServiceStub(self._channel)
            self.contract = self._get_contract(stub, connect_timeout)
            accept(self.contract)
            self._lane = self._stream = GrpcLane(stub, self.address)
            opened = self._open(deadline, autoreset)
            self._lane = self._fastest(self._stream, opened, wanted)
        except BaseException:
            self.close()
            raise

    @property
    def lane(self) -> str:
        """The name of the lane in use."""
        return GrpcLane.name if self._lane is None else self._lane.name

    def reset(self, call: session_pb2.ResetCall) -> session_pb2.ResetResult:
        """Has the environment reset. Raises as the tree in `rlmesh.errors` says."""
        result = self._exchange(session_pb2.SessionRequest(reset=call)).reset
        self._behind = False
        return result

    def step(self, call: session_pb2.StepCall) -> session_pb2.StepResult:
        """Has the environment step. Raises as the tree in `rlmesh.errors` says."""
        return self._exchange(session_pb2.SessionRequest(step=call), known=True).step

    def render(self) -> session_pb2.RenderResult:
        """Has the environment render. Raises as the tree in `rlmesh.errors` says."""
        request = session_pb2.SessionRequest(render=session_pb2.RenderCall())
        return self._exchange(request).render

    def attribute(
        self, verb: session_pb2.AttributeVerb.ValueType, name: str, argument: bytes = b""
    ) -> session_pb2.AttributeResult:
        """Reads, sets or calls an attribute. Raises as the tree in `rlmesh.errors` says."""
        call = session_pb2.AttributeCall(verb=verb, name=name, argument=argument)
        return self._exchange(session_pb2.SessionRequest(attribute=call)).attribute

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
        if not self._lock.locked():
            self.close()

    def leave_to_parent(self) -> None:
        """Leaves the connection alone from now on: it is the parent's of this forked process."""
        self._closed = self._forked = True
        if isinstance(self._lane, ShmLane):
            self._lane.leave_to_parent()

    def _say_farewell(self, lane: GrpcLane) -> None:
        """Waits until the server has taken the environment back, so that another may have it."""
        # In the middle of a call the answer may never come; the stream's end says the same, later.
        if self._behind or not self._lock.acquire(blocking=False):
            return
        try:
            self._sequence += 1
            farewell = session_pb2.SessionRequest(
                sequence=self._sequence, close=session_pb2.CloseCall()
            )
            # A connection that is lost already has ended the session as well.
            with contextlib.suppress(RlmeshError):
                lane.exchange(farewell, _FAREWELL_SECONDS)
        finally:
            self._lock.release()

    def _get_contract(
        self, stub: env_service_pb2_grpc.EnvServiceStub, timeout: float | None
    ) -> EnvContract:
        try:
            response = stub.GetContract(
                env_service_pb2.GetContractRequest(), timeout=timeout, wait_for_ready=True
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

    def _fastest(
        self, stream: GrpcLane, opened: session_pb2.OpenResult, wanted: str | None
    ) -> GrpcLane | ShmLane:
        """The first lane on offer that can be had and may be used, else the stream."""
        for offer in opened.lanes:
            if offer.lane == ShmLane.name and wanted in (None, ShmLane.name):
                port = enter(offer.address, opened.secret)
                if port is not None:
                    return ShmLane(port, stream, self.address)
        return stream

    def _open(
        self, deadline: float | None, autoreset: AutoresetMode | None
    ) -> session_pb2.OpenResult:
        remaining = None if deadline is None else max(0.001, deadline - time.monotonic())
        call = session_pb2.OpenCall(peer=this_peer(), protocol_generation=PROTOCOL_GENERATION)
        if autoreset is not None:
            call.autoreset_mode = autoreset.to_proto()
        try:
            return self._exchange(session_pb2.SessionRequest(open=call), remaining).open
        except CallTimeoutError as error:
            raise EndpointUnreachableError(
                f"{self.address} told its contract, but opened no session in time"
            ) from error

    def _exchange(
        self,
        request: session_pb2.SessionRequest,
        timeout: float | None = None,
        *,
        known: bool = False,
    ) -> session_pb2.SessionResponse:
        """Sends a request and gives its answer; `known`: only if the state is known."""
        lane = self._lane
        if self._closed or lane is None:
            raise StateError(
                f"the connection to {self.address} belongs to the process that made it, of which "
                f"this is a fork; make a new client here"
                if self._forked
                else f"the connection to {self.address} is closed; make a new client"
            )
        if not self._lock.acquire(blocking=False):
            raise StateError(
                f"another thread is in a call to {self.address}; a client makes one call at a time"
            )
        behind = self._behind
        try:
            if known and behind:
                raise StateError(
                    f"{request.WhichOneof('call')}: an earlier call to {self.address} was given up "
                    f"before its answer came, so this client does not know the environment's "
                    f"state; call reset() first"
                )
            self._sequence += 1
            request.sequence = self._sequence
            # Until the answer is here, the state is unknown: a deadline or Ctrl-C may end the wait.
            self._behind = True
            response = lane.exchange(request, timeout or self._request_timeout)
            self._behind = behind
        except EndpointError:
            # No reset mends this; the lane says so again at every call.
            self._behind = behind
            raise
        finally:
            self._lock.release()
        answer = response.WhichOneof("answer")
        if answer == "failure":
            raise error_from_failure(response.failure, self.address)
        if answer != request.WhichOneof("call"):
            raise ProtocolError(
                f"{self.address} answered {answer or 'nothing'} to {request.WhichOneof('call')}"
            )
        return response


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
