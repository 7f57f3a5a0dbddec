"""The gRPC service of an endpoint: messages in, messages out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message

from rlmesh.server.rpc.stream import StreamHandler
from rlmesh.server.sessions.manager import SessionManager
from rlmesh.server.sessions.watching import MOST_VIEWERS, TooManyViewersError
from rlmesh.server.status import status_of
from rlmesh.transports.peer import PROTOCOL_GENERATION, this_peer
from rlmesh_api.v1 import env_service_pb2, session_pb2


class EndpointService:
    """Answers contract, status and session calls of one endpoint.

    Args:
        descriptor: The service in the schema; it has the methods of this class.
        contract: Answers `GetContract`.
        manager: The session manager.
        grace: For how many seconds a session is kept after its connection has broken.
        exposed: The names that attribute calls reach, sorted.
        shutdown: Begins to end the server and returns; None if clients may not end it.
        complete: Adds to a status what only this kind of endpoint has; None: nothing.

    Attributes:
        descriptor: As given.
        transports: The transports on offer beside the stream, the best first.
    """

    def __init__(
        self,
        descriptor: ServiceDescriptor,
        contract: Callable[[Any], Message],
        manager: SessionManager,
        grace: float,
        exposed: Sequence[str] = (),
        shutdown: Callable[[], None] | None = None,
        complete: Callable[[env_service_pb2.GetStatusResponse], None] | None = None,
    ) -> None:
        self.descriptor: ServiceDescriptor = descriptor
        self._contract = contract
        self._complete = complete
        self._peer = this_peer()
        self._manager = manager
        self._grace = grace
        self._exposed = exposed
        self._shutdown = shutdown
        self._since = time.monotonic()
        self.transports: list[session_pb2.TransportOffer] = []

    def begin(self, transports: list[session_pb2.TransportOffer]) -> None:
        """Calls are answered from now on, and these transports are offered."""
        self.transports += transports
        self._since = time.monotonic()

    def break_streams(self) -> None:
        """Breaks every stream, because a message of one is lost. On gRPC's thread."""
        self._manager.break_streams()

    def GetContract(  # noqa: N802 - gRPC's name
        self, request: Message, context: grpc.ServicerContext
    ) -> Message:
        """Returns the contract."""
        return self._contract(request)

    def GetStatus(  # noqa: N802 - gRPC's name
        self, request: env_service_pb2.GetStatusRequest, context: grpc.ServicerContext
    ) -> env_service_pb2.GetStatusResponse:
        """Returns what the server is doing. It waits for no call."""
        status = status_of(self._manager)
        if self._complete is not None:
            self._complete(status)
        status.server.CopyFrom(self._peer)
        status.protocol_generation = PROTOCOL_GENERATION
        status.serving_seconds = time.monotonic() - self._since
        return status

    def session(self) -> StreamHandler:
        """Returns what serves one session's stream."""
        return StreamHandler(self._manager, self.transports, self._grace, self._exposed)

    def Watch(  # noqa: N802 - gRPC's name
        self, request: env_service_pb2.WatchRequest, context: grpc.ServicerContext
    ) -> Iterator[bytes]:
        """Returns the newest of every session again and again, as messages that are bytes."""
        try:
            yield from self._manager.watching.watch(request, context.is_active)
        except TooManyViewersError:
            context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"{MOST_VIEWERS} viewers watch this server already; close one of them",
            )

    def Shutdown(  # noqa: N802 - gRPC's name
        self, request: env_service_pb2.ShutdownRequest, context: grpc.ServicerContext
    ) -> env_service_pb2.ShutdownResponse:
        """Ends the server, if clients may do that."""
        if self._shutdown is None:
            context.abort(
                grpc.StatusCode.PERMISSION_DENIED,
                "clients may not shut this server down; serve with "
                "ServeOptions(allow_remote_shutdown=True) to allow it",
            )
        self._shutdown()
        return env_service_pb2.ShutdownResponse()
