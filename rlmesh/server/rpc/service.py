"""The gRPC service of an endpoint: messages in, messages out."""

from __future__ import annotations

import time
from collections.abc import Callable

import grpc

from rlmesh.contract import EnvContract
from rlmesh.server.rpc.stream import Stream
from rlmesh.server.sessions.manager import SessionManager
from rlmesh.server.status import status_of
from rlmesh.transports.peer import PROTOCOL_GENERATION, this_peer
from rlmesh_api.v1 import env_service_pb2, session_pb2


class EnvService:
    """Answers contract, status and session calls of one endpoint.

    Args:
        contract: What every environment is.
        manager: Who gives them to clients.
        grace: For how many seconds a session is kept once its connection has broken.
        shutdown: Begins to end the server and returns; None where clients may not.

    Attributes:
        transports: The transports on offer beside the stream, the best first.
    """

    def __init__(
        self,
        contract: EnvContract,
        manager: SessionManager,
        grace: float,
        shutdown: Callable[[], None] | None,
    ) -> None:
        self._contract = env_service_pb2.GetContractResponse(
            contract=contract.to_proto(),
            server=this_peer(),
            protocol_generation=PROTOCOL_GENERATION,
        )
        self._manager = manager
        self._grace = grace
        self._shutdown = shutdown
        self._since = time.monotonic()
        self.transports: list[session_pb2.TransportOffer] = []

    def begin(self, transports: list[session_pb2.TransportOffer]) -> None:
        """Notes that calls are answered from now on, and which transports are on offer."""
        self.transports += transports
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
        status = status_of(self._manager)
        status.server.CopyFrom(self._contract.server)
        status.protocol_generation = PROTOCOL_GENERATION
        status.serving_seconds = time.monotonic() - self._since
        return status

    def session(self) -> Stream:
        """What serves one client."""
        return Stream(self._manager, self.transports, self._grace)

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
