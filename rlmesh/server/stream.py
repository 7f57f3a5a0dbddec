"""A session's stream: opens the session, and is its lane where the client uses no other."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator

import grpc
from google.protobuf.message import DecodeError

from rlmesh.lanes.peer import PROTOCOL_GENERATION
from rlmesh.lanes.stream_outbox import StreamOutbox
from rlmesh.server.desk import Desk
from rlmesh.server.failures import CallFailedError, failed
from rlmesh.server.host import HostStoppedError
from rlmesh.server.line import Line
from rlmesh.server.port_calls import PortCalls
from rlmesh.server.refusals import draining
from rlmesh.server.requests import Answered, Request, damaged, failed_so, read_request
from rlmesh.server.session import Session
from rlmesh.server.stream_port import StreamPort, StreamSource
from rlmesh_api.v1 import session_pb2


class Stream:
    """Serves one client, from `open` or `resume` to `close` or to the end of its stream.

    Messages are `SessionRequest` and `SessionResponse`, as bytes. Once the client calls on the
    stream, the environment's own thread takes the requests from it and sends the answers, so that
    nobody is woken only to wake somebody else.

    Args:
        desk: Who gives environments to clients.
        lanes: The lanes on offer beside the stream, the best first.
        grace: For how many seconds a session is kept once its connection has broken.
    """

    def __init__(self, desk: Desk, lanes: list[session_pb2.LaneOffer], grace: float) -> None:
        self._desk = desk
        self._lanes = lanes
        self._grace = grace

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
            self._serve(requests, Line(context, send))
            return None
        answers: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        threading.Thread(
            target=self._serve, args=(requests, Line(context, answers.put)), daemon=True
        ).start()
        return iter(answers.get, None)

    def _serve(self, requests: Iterator[bytes], line: Line) -> None:
        try:
            self._converse(requests, line)
        except grpc.RpcError:
            pass  # the client has gone, as the iterator of its requests says
        finally:
            line.finish()

    def _converse(self, requests: Iterator[bytes], line: Line) -> None:
        message = next(requests, None)
        if message is None:
            return
        answer = session_pb2.SessionResponse()
        try:
            session = self._begin(message, answer, line)
        except CallFailedError as error:
            session = None
            answer.failure.CopyFrom(error.failure)
        if session is None:
            line.send(answer.SerializeToString())
            return
        try:
            line.send(answer.SerializeToString())
            for message in requests:
                if session.source is None:
                    self._hand_over(session, StreamPort(requests, line, message), line)
                    return
                # Its calls come by another lane, and its farewell by this one.
                if not self._answer(session, line, message):
                    return
        finally:
            self._desk.left(session, line)

    def _hand_over(self, session: Session, port: StreamPort, line: Line) -> None:
        """Has the environment's thread answer until the session or the stream ends."""
        calls = PortCalls(self._desk, session, by_stream=True)
        self._desk.attach(session, StreamSource(lambda _: port, calls, "grpc"), line)
        # That thread may be in a call for ever.
        line.on_end(port.ended.set)
        port.ended.wait()

    def _answer(self, session: Session, line: Line, message: bytes) -> bool:
        """Has the environment's thread execute a call; whether there may be further ones."""
        try:
            request = read_request(message)
        except DecodeError as error:
            line.send(failed_so(0, damaged(error).failure).SerializeToString())
            self._desk.end(session, by_stream=True)
            return False
        calls = PortCalls(self._desk, session, by_stream=True)
        outbox = StreamOutbox()

        def execute() -> tuple[Answered, bytes]:
            start, end, over = calls.answer(request, outbox)
            told = outbox.message(start, end)
            if request.sequence == session.sequence:
                session.kept = request.sequence, told
            return (start, end, over), told

        try:
            call = session.room.host.post(execute, name=request.name, sequence=request.sequence)
            (_, _, over), told = call.wait()
        except (HostStoppedError, CallFailedError) as error:
            line.send(_failed(request, error))
            return False
        line.send(told)
        if over:
            self._desk.end(session, by_stream=True)
        return calls.answered(call.seconds) and not over

    def _begin(
        self, message: bytes, answer: session_pb2.SessionResponse, line: Line
    ) -> Session | None:
        """Opens a session, goes on with one or leaves it, and says so in the answer."""
        try:
            first = session_pb2.SessionRequest.FromString(message)
        except DecodeError as error:
            raise damaged(error) from error
        answer.sequence = first.sequence
        call = first.WhichOneof("call")
        if call == "open":
            session = self._desk.open(first.open, line)
            session.sequence = first.sequence
            opened = answer.open
            opened.session_id = session.id
            opened.protocol_generation = PROTOCOL_GENERATION
            opened.lanes.extend(self._lanes)
            opened.secret = session.secret
            opened.resume_seconds = self._grace if session.resumes else 0.0
            return session
        if call == "resume":
            answer.resume.SetInParent()
            if first.resume.leaves:
                self._desk.leave(first.resume)
                return None
            session = self._desk.resume(first.resume, line)
            answer.resume.protocol_generation = PROTOCOL_GENERATION
            answer.resume.lanes.extend(self._lanes)
            return session
        raise failed(
            session_pb2.ERROR_CODE_PROTOCOL,
            "the first call of a stream must be open, or resume for a session that stands",
        )


# See `serve`; grpc looks for it there.
Stream.serve.experimental_non_blocking = True  # type: ignore[attr-defined] # pyright: ignore[reportFunctionMemberAccess] # as said


def _failed(request: Request, error: Exception) -> bytes:
    failure = error.failure if isinstance(error, CallFailedError) else draining()
    return failed_so(request.sequence, failure).SerializeToString()
