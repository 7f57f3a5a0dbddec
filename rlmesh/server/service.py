"""The gRPC service of an endpoint: messages in, messages out."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import grpc

from rlmesh.contract import EnvContract
from rlmesh.lanes.peer import PROTOCOL_GENERATION, this_peer
from rlmesh.server.failures import CallFailedError
from rlmesh.server.host import Host
from rlmesh.server.session import Desk
from rlmesh_api.v1 import env_service_pb2, env_service_pb2_grpc, session_pb2


class EnvService(env_service_pb2_grpc.EnvServiceServicer):
    """Answers contract, status and session calls of one endpoint.

    Args:
        contract: What the environment is.
        desk: Who gives it to clients.
        host: Where it lives.
        shutdown: Begins to end the server and returns; None where clients may not.
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
        self.door: str | None = None

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
            status.busy_seconds = running.seconds
            status.stack = self._host.stack()
        if self._desk.draining:
            status.state = env_service_pb2.SERVER_STATE_DRAINING
        holder = self._desk.holder()
        if holder is not None:
            status.holder.CopyFrom(holder)
        return status

    def Session(  # noqa: N802 - gRPC's name
        self,
        request_iterator: Iterator[session_pb2.SessionRequest],
        context: grpc.ServicerContext,
    ) -> Iterator[session_pb2.SessionResponse]:
        """Serves one client from `open` to `close` or to the end of its stream."""
        # Where the stream breaks, the iterator raises grpc's own error, as grpc expects.
        first = next(request_iterator, None)
        if first is None:
            return
        opened = session_pb2.SessionResponse(sequence=first.sequence)
        if first.WhichOneof("call") != "open":
            opened.failure.code = session_pb2.ERROR_CODE_PROTOCOL
            opened.failure.message = "the first call of a session must be open"
            yield opened
            return
        try:
            session = self._desk.open(first.open, context)
        except CallFailedError as error:
            opened.failure.CopyFrom(error.failure)
            yield opened
            return
        try:
            opened.open.session_id = session.id
            if self.door is not None:
                opened.open.secret = session.secret
                opened.open.lanes.add(lane="shm", address=self.door)
            opened.open.protocol_generation = PROTOCOL_GENERATION
            yield opened
            for request in request_iterator:
                answer = self._desk.answer(session, request)
                if answer.WhichOneof("answer") == "close":
                    # The next client may come as soon as this one knows that it has closed.
                    self._desk.close(session)
                yield answer
                # grpc comes back here when the answer has left; a drain must not overtake it.
                if not self._desk.answered(session) or _ends(answer):
                    return
        finally:
            self._desk.close(session)

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


def _ends(answer: session_pb2.SessionResponse) -> bool:
    return answer.WhichOneof("answer") == "close" or answer.failure.code in (
        session_pb2.ERROR_CODE_PROTOCOL,
        session_pb2.ERROR_CODE_INTERNAL,
    )
