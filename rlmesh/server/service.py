"""The gRPC service of an endpoint: messages in, messages out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import grpc
from google.protobuf.message import DecodeError

from rlmesh.contract import EnvContract
from rlmesh.lanes.peer import PROTOCOL_GENERATION, this_peer
from rlmesh.server import session as sessions
from rlmesh.server.failures import CallFailedError, failed
from rlmesh.server.host import Host
from rlmesh.server.requests import damaged
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
        desk: sessions.Desk,
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
        """What serves one client, from `open` to `close` or to the end of its stream."""
        return Stream(self._desk, self._open)

    def _open(
        self,
        message: bytes,
        opened: session_pb2.SessionResponse,
        context: grpc.ServicerContext,
    ) -> sessions.Session:
        try:
            first = session_pb2.SessionRequest.FromString(message)
        except DecodeError as error:
            raise damaged(error) from error
        opened.sequence = first.sequence
        if first.WhichOneof("call") != "open":
            raise failed(
                session_pb2.ERROR_CODE_PROTOCOL, "the first call of a session must be open"
            )
        session = self._desk.open(first.open, context)
        result = opened.open
        result.session_id = session.id
        result.protocol_generation = PROTOCOL_GENERATION
        result.lanes.extend(self.lanes)
        if self.lanes:
            result.secret = session.secret
        return session

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


class Stream:
    """One session stream. Its messages are `SessionRequest` and `SessionResponse`, as bytes.

    A call is handed to the environment's thread where grpc would deserialize it, on the thread on
    which it arrives; the stream's own thread, which grpc wakes then, waits for the answer and sends
    it. So nobody is woken only to wake somebody else.

    Args:
        desk: Who gives the environment to clients.
        begin: Opens a session, given the first message, and fills in the answer to it.
    """

    def __init__(
        self,
        desk: sessions.Desk,
        begin: Callable[
            [bytes, session_pb2.SessionResponse, grpc.ServicerContext], sessions.Session
        ],
    ) -> None:
        self._desk = desk
        self._begin = begin
        self._session: sessions.Session | None = None
        self._pending: sessions.Pending | None = None

    def receive(self, message: bytes) -> bytes:
        """Takes a message as it arrives; what grpc is to iterate over."""
        if self._session is not None:
            self._pending = self._desk.begin(self._session, message)
        return message

    def serve(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        """Answers messages until the session ends."""
        # Where the stream breaks, the iterator raises grpc's own error, as grpc expects.
        first = next(requests, None)
        if first is None:
            return
        opened = session_pb2.SessionResponse()
        try:
            session = self._session = self._begin(first, opened, context)
        except CallFailedError as error:
            opened.failure.CopyFrom(error.failure)
            yield opened.SerializeToString()
            return
        try:
            yield opened.SerializeToString()
            for _ in requests:
                pending, self._pending = self._pending, None
                if pending is None:
                    return
                answer, over = pending()
                yield answer
                # grpc comes back here when the answer has left; a drain must not overtake it.
                if not self._desk.answered(session) or over:
                    return
        finally:
            if self._pending is not None:
                # The stream broke with a call under way, which still has the environment.
                self._pending()
                self._desk.answered(session)
            self._desk.close(session)
