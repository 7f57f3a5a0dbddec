"""The gRPC service of an endpoint: messages in, messages out."""

from __future__ import annotations

import time
from collections.abc import Callable

import grpc

from rlmesh.contract import EnvContract
from rlmesh.lanes.peer import PROTOCOL_GENERATION, this_peer
from rlmesh.server.desk import Desk
from rlmesh.server.status import status_of
from rlmesh.server.stream import Stream
from rlmesh_api.v1 import env_service_pb2, session_pb2


class EnvService:
    """Answers contract, status and session calls of one endpoint.

    Args:
        contract: What every environment is.
        desk: Who gives them to clients.
        grace: For how many seconds a session is kept once its connection has broken.
        shutdown: Begins to end the server and returns; None where clients may not.

    Attributes:
        lanes: The lanes on offer beside the stream, the best first.
    """

    def __init__(
        self,
        contract: EnvContract,
        desk: Desk,
        grace: float,
        shutdown: Callable[[], None] | None,
    ) -> None:
        self._contract = env_service_pb2.GetContractResponse(
            contract=contract.to_proto(),
            server=this_peer(),
            protocol_generation=PROTOCOL_GENERATION,
        )
        self._desk = desk
        self._grace = grace
        self._shutdown = shutdown
        self._since = time.monotonic()
        self.lanes: list[session_pb2.LaneOffer] = []

    def begin(self, lanes: list[session_pb2.LaneOffer]) -> None:
        """Notes that calls are answered from now on, and which lanes are on offer."""
        self.lanes += lanes
        self._since = time.monotonic()

    def GetContract(  # noqa: N802 - gRPC's name
        self, request: env_service_pb2.GetContractRequest, context: grpc.ServicerContext
    ) -> env_service_pb2.GetContractResponse:
        """Tells what the environment is."""
        return self._contract

    def GetStatus(  # noqa: N802 - gRPC's name
        self, request: env_service_pb2.GetStatusRequest, context: grpc.ServicerContext
    ) -> env_service_pb2.GetStatusResponse:
        """Tells what the server is doing."""
        status = status_of(self._desk)
        status.server.CopyFrom(self._contract.server)
        status.protocol_generation = PROTOCOL_GENERATION
        status.serving_seconds = time.monotonic() - self._since
        return status

    def session(self) -> Stream:
        """What serves one client."""
        return Stream(self._desk, self.lanes, self._grace)

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
