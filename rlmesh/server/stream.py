"""A session's stream: opens the session, and is its lane where the client uses no other."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator

import grpc
from google.protobuf.message import DecodeError

from rlmesh.lanes.peer import PROTOCOL_GENERATION
from rlmesh.lanes.port import Received, Woken
from rlmesh.lanes.stream_outbox import StreamOutbox
from rlmesh.server.desk import Desk
from rlmesh.server.failures import CallFailedError, failed
from rlmesh.server.port_calls import PortCalls
from rlmesh.server.requests import damaged
from rlmesh.server.session import Session
from rlmesh.server.source import PortSource
from rlmesh.values.functions import Writable
from rlmesh_api.v1 import session_pb2


class Stream:
    """Serves one client, from `open` to `close` or to the end of its stream.

    Messages are `SessionRequest` and `SessionResponse`, as bytes. Once the client calls on the
    stream, the environment's own thread takes the requests from it and sends the answers, so that
    nobody is woken only to wake somebody else.

    Args:
        desk: Who gives the environment to clients.
        lanes: The lanes on offer beside the stream, the best first.
    """

    def __init__(self, desk: Desk, lanes: list[session_pb2.LaneOffer]) -> None:
        self._desk = desk
        self._lanes = lanes

    def serve(
        self,
        requests: Iterator[bytes],
        context: grpc.ServicerContext,
        send: Callable[[bytes | None], None] | None = None,
    ) -> Iterator[bytes] | None:
        """What grpc calls for the stream, on a thread of its own.

        Args:
            requests: The requests, as they arrive.
            context: The stream.
            send: Sends an answer, from any thread; None ends the stream. It is given by a grpc that
                knows `experimental_non_blocking`, as its own health service uses it. Any other
                iterates over what this returns.
        """
        if send is not None:
            self._serve(requests, context, send)
            return None
        answers: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        threading.Thread(
            target=self._serve, args=(requests, context, answers.put), daemon=True
        ).start()
        return iter(answers.get, None)

    def _serve(
        self,
        requests: Iterator[bytes],
        context: grpc.ServicerContext,
        send: Callable[[bytes | None], None],
    ) -> None:
        try:
            self._converse(requests, context, send)
        except grpc.RpcError:
            pass  # the client has gone, as the iterator of its requests says
        finally:
            send(None)

    def _converse(
        self,
        requests: Iterator[bytes],
        context: grpc.ServicerContext,
        send: Callable[[bytes | None], None],
    ) -> None:
        first = next(requests, None)
        if first is None:
            return
        opened = session_pb2.SessionResponse()
        try:
            session = self._open(first, opened, context)
        except CallFailedError as error:
            opened.failure.CopyFrom(error.failure)
            send(opened.SerializeToString())
            return
        try:
            send(opened.SerializeToString())
            for message in requests:
                if session.source is None:
                    self._hand_over(session, StreamPort(requests, context, send, message))
                    return
                # Its calls come by another lane, and its farewell by this one.
                answer, over = self._desk.answer(session, message)
                send(answer)
                if not self._desk.answered(session) or over:
                    return
        finally:
            self._desk.close(session)

    def _hand_over(self, session: Session, port: StreamPort) -> None:
        """Has the environment's thread answer until the session ends."""
        source = StreamSource(lambda _: port, PortCalls(self._desk, session, by_stream=True))
        self._desk.attach(session, source)
        port.ended.wait()

    def _open(
        self,
        message: bytes,
        opened: session_pb2.SessionResponse,
        context: grpc.ServicerContext,
    ) -> Session:
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
        result.lanes.extend(self._lanes)
        if self._lanes:
            result.secret = session.secret
        return session


# See `serve`; grpc looks for it there.
Stream.serve.experimental_non_blocking = True  # type: ignore[attr-defined] # pyright: ignore[reportFunctionMemberAccess] # as said


class StreamPort:
    """The stream as a port of the server; see `Port`.

    Args:
        requests: The requests, as they arrive.
        context: The stream.
        send: Sends an answer.
        first: The request that has arrived already.

    Attributes:
        ended: Set when no more requests are taken.
    """

    reserved = 0

    def __init__(
        self,
        requests: Iterator[bytes],
        context: grpc.ServicerContext,
        send: Callable[[bytes | None], None],
        first: bytes,
    ) -> None:
        self.ended: threading.Event = threading.Event()
        self._requests = requests
        self._context = context
        self._to_client = send
        self._first: bytes | None = first
        self._finished = False
        self._outbox = StreamOutbox()
        self._last = b""

    @property
    def owed(self) -> bool:
        """Only a client's port is asked."""
        return False

    def room(self, nbytes: int, keep: int = 0) -> Writable:
        """A buffer for a message; see `Outbox`."""
        return self._outbox.room(nbytes, keep)

    def send(self, message: bytes) -> None:
        """Sends a message."""
        self._last = message
        self._to_client(message)

    def post(self, start: int, end: int) -> None:
        """Sends the message that stands between these places in the last `room`."""
        self.send(self._outbox.message(start, end))

    def last(self) -> bytes:
        """The message that was sent last; see `Port`."""
        return self._last

    def receive(self, deadline: float | None = None) -> Received | Woken:
        """Waits for the next message, for ever."""
        message, self._first = self._first, None
        if self._finished:
            return Woken.GONE
        if message is None:
            try:
                message = next(self._requests)
            except (StopIteration, grpc.RpcError):
                return Woken.GONE
        return message, 0, len(message)

    def divert(self) -> None:
        """Has later rooms lead nowhere, for a thread that writes an answer too late."""
        self._outbox = StreamOutbox()

    def finish(self) -> None:
        """Has no more messages received; the stream ends when the session has."""
        self._finished = True

    def close(self) -> None:
        """Ends the stream at once, unless it ends by itself. Any thread may, repeatedly."""
        if not (self._finished or self.ended.is_set()):
            self._context.cancel()

    def leave_to_parent(self) -> None:
        """Only a client's port may be inherited."""

    def release(self) -> None:
        """Ends it; the stream's own thread does what is left."""
        self.ended.set()


class StreamSource(PortSource):
    """The calls of a stream; see `PortSource`."""

    def ring(self) -> None:
        """Ends the stream if no call is in progress: nothing else ends a wait for the next request.

        The host is wanted for something else only when the server ends, and then the answer to a
        call in progress is the last.
        """
        if not self.busy:
            self.close()
