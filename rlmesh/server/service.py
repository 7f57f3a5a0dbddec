"""The gRPC service of an endpoint: messages in, messages out."""

from __future__ import annotations

import time
from collections.abc import Callable

import grpc

from rlmesh.contract import EnvContract
from rlmesh.lanes.peer import PROTOCOL_GENERATION, this_peer
from rlmesh.server.desk import Desk
from rlmesh.server.host import Host
from rlmesh.server.stream import Stream
from rlmesh_api.v1 import env_service_pb2, session_pb2


class EnvService:
    """Answers contract, status and session calls of one endpoint.

    Args:
        contract: What the environment is.
        desk: Who gives it to clients.
        host: Where it lives.
        shutdown: Begins to end the server and returns; None where clients may not.

    Attributes:
        lanes: The lanes on offer beside the stream, the best first.
    """

    def __init__(
        self,
        contract: EnvContract,
        desk: Desk,
        host: Host,
        shutdown: Callable[[], None] | None,
    ) -> None:
        self._contract = env_service_pb2.GetContractResponse(
            contract=contract.to_proto(),
            server=this_peer(),
            protocol_generation=PROTOCOL_GENERATION,
        )
        self._desk = desk
        self._host = host
        self._shutdown = shutdown
        self.lanes: list[session_pb2.LaneOffer] = []

    def GetContract(  # noqa: N802 - gRPC's name
        self, request: env_service_pb2.GetContractRequest, context: grpc.ServicerContext
    ) -> env_service_pb2.GetContractResponse:
        """Tells what the environment is."""
        return self._contract

    def GetStatus(  # noqa: N802 - gRPC's name
        self, request: env_service_pb2.GetStatusRequest, context: grpc.ServicerContext
    ) -> env_service_pb2.GetStatusResponse:
        """Tells what the server is doing."""
        status = env_service_pb2.GetStatusResponse(state=env_service_pb2.SERVER_STATE_READY)
        if not self._host.ready:
            status.state = env_service_pb2.SERVER_STATE_STARTING
        running = self._host.running
        if running is not None:
            status.state = env_service_pb2.SERVER_STATE_BUSY
            status.call = running.name
            status.sequence = running.sequence
            status.busy_seconds = time.monotonic() - running.since
            status.stack = self._host.stack()
        if self._desk.draining:
            status.state = env_service_pb2.SERVER_STATE_DRAINING
        holder = self._desk.holder()
        if holder is not None:
            status.holder.CopyFrom(holder)
        return status

    def session(self) -> Stream:
        """What serves one client."""
        return Stream(self._desk, self.lanes)

    def Shutdown(  # noqa: N802 - gRPC's name
        self, request: env_service_pb2.ShutdownRequest, context: grpc.ServicerContext
    ) -> env_service_pb2.ShutdownResponse:
        """Ends the server, if clients may."""
        if self._shutdown is None:
            context.abort(
                grpc.StatusCode.PERMISSION_DENIED,
                "this server is not ended by clients; it would be with "
                "ServeOptions(allow_remote_shutdown=True)",
            )
        self._shutdown()
        return env_service_pb2.ShutdownResponse()
