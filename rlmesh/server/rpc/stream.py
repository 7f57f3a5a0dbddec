"""Serves a session's stream: opens the session, and carries its calls if nothing else does."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence

import grpc
from google.protobuf.message import DecodeError

from rlmesh.server.failures import CallFailedError, draining, failed
from rlmesh.server.rpc.open_stream import OpenStream
from rlmesh.server.rpc.stream_pipe import StreamCallReceiver, StreamPipe
from rlmesh.server.sessions.calls import SessionCalls
from rlmesh.server.sessions.endpoint import ThreadStoppedError
from rlmesh.server.sessions.manager import SessionManager
from rlmesh.server.sessions.requests import Answered, Request, damaged, failed_so, read_request
from rlmesh.server.sessions.session import Session
from rlmesh.transports.compression.algorithms import available
from rlmesh.transports.grpc.outbox import StreamOutbox
from rlmesh.transports.grpc.pieces import whole_messages
from rlmesh.transports.peer import PROTOCOL_GENERATION, bound_names
from rlmesh_api.v1 import session_pb2

# The calls that may be the first of a stream, and the number of each.
_FIRST_NUMBERS = {"open": 1, "resume": 0}


class StreamHandler:
    """Serves one client, from `open` or `resume` to `close` or to the end of its stream.

    Messages are `SessionRequest` and `SessionResponse`, as bytes. Once the client makes a call on
    the stream, the slot's thread reads the requests and sends the answers: no other thread has to
    wake up between the two.

    Args:
        manager: The session manager.
        transports: The transports on offer beside the stream, the best first.
        grace: For how many seconds a session is kept after its connection has broken.
        exposed: The names that attribute calls reach, sorted.
    """

    def __init__(
        self,
        manager: SessionManager,
        transports: list[session_pb2.TransportOffer],
        grace: float,
        exposed: Sequence[str],
    ) -> None:
        self._manager = manager
        self._transports = transports
        self._grace = grace
        self._exposed = exposed

    def serve(
        self,
        requests: Iterator[bytes],
        context: grpc.ServicerContext,
        send: Callable[[bytes | None], None] | None = None,
    ) -> Iterator[bytes] | None:
        """Serves the stream; grpc calls it, on a thread for this call.

        Args:
            requests: The requests, as they arrive.
            context: The stream.
            send: Sends an answer, from any thread; None ends the stream. A grpc that knows
                `experimental_non_blocking` passes it, as for its own health service.

        Returns:
            The answers, for a grpc that does not pass `send`.
        """
        requests = whole_messages(requests, lambda reason: _refuse(context, reason))
        if send is not None:
            self._serve(requests, OpenStream(context, send))
            return None
        answers: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        threading.Thread(
            target=self._serve, args=(requests, OpenStream(context, answers.put)), daemon=True
        ).start()
        return iter(answers.get, None)

    def _serve(self, requests: Iterator[bytes], stream: OpenStream) -> None:
        try:
            self._converse(requests, stream)
        except grpc.RpcError:
            pass  # the client has gone: the iterator of its requests raises
        finally:
            stream.finish()

    def _converse(self, requests: Iterator[bytes], stream: OpenStream) -> None:
        message = next(requests, None)
        if message is None:
            return
        answer = session_pb2.SessionResponse()
        try:
            session = self._begin(message, answer, stream)
        except CallFailedError as error:
            session = None
            answer.failure.CopyFrom(error.failure)
        if session is None:
            stream.send(answer.SerializeToString())
            return
        try:
            stream.send(answer.SerializeToString())
            for message in requests:
                if session.receiver is None:
                    self._hand_over(session, StreamPipe(requests, stream, message), stream)
                    return
                # Its calls come by another transport; this one is a call beside them.
                if not self._answer(session, stream, message):
                    return
        finally:
            self._manager.stream_over(session, stream)

    def _hand_over(self, session: Session, pipe: StreamPipe, stream: OpenStream) -> None:
        """Has the slot's thread answer until the session or the stream ends."""
        calls = SessionCalls(session, by_stream=True)
        session.attach(StreamCallReceiver(pipe, calls, "grpc"), stream)
        # The slot's thread may be in a call for ever, so the end of the stream ends the wait too.
        stream.on_end(pipe.ended.set)
        pipe.ended.wait()

    def _answer(self, session: Session, stream: OpenStream, message: bytes) -> bool:
        """Has the slot's thread execute a call; returns whether further calls may follow."""
        try:
            request = read_request(message, session.kind)
        except DecodeError as error:
            stream.send(failed_so(0, damaged(error).failure).SerializeToString())
            session.end(by_stream=True)
            return False
        calls = SessionCalls(session, by_stream=True)
        outbox = StreamOutbox()

        def execute() -> tuple[Answered, bytes]:
            start, end, over = calls.answer(request, outbox)
            message = outbox.message(start, end)
            if request.sequence == session.sequence:
                session.kept = request.sequence, message
            return (start, end, over), message

        try:
            call = session.slot.thread.post(execute, name=request.name, sequence=request.sequence)
            (_, _, over), message = call.wait()
        except (ThreadStoppedError, CallFailedError) as error:
            stream.send(_failed(request, error))
            return False
        stream.send(message)
        if over:
            session.end(by_stream=True)
        return calls.answered(call.seconds) and not over

    def _begin(
        self, message: bytes, answer: session_pb2.SessionResponse, stream: OpenStream
    ) -> Session | None:
        """Opens, resumes or leaves a session, and fills the answer. None if there is no session."""
        try:
            first = session_pb2.SessionRequest.FromString(message)
        except DecodeError as error:
            raise damaged(error) from error
        answer.sequence = first.sequence
        call = first.WhichOneof("call")
        number = _FIRST_NUMBERS.get(call or "")
        if number is None:
            raise failed(
                session_pb2.ERROR_CODE_PROTOCOL,
                "the first call of a stream must be open, or resume for an existing session",
            )
        if first.sequence != number:
            raise failed(
                session_pb2.ERROR_CODE_PROTOCOL,
                f"the number of {call} is {number}, got {first.sequence}",
            )
        if call == "open":
            bound_names(first.open.peer)
            session = self._manager.open(first.open, stream, first.trace)
            session.sequence = first.sequence
            opened = answer.open
            opened.session_id = session.id
            opened.protocol_generation = PROTOCOL_GENERATION
            opened.transports.extend(self._transports)
            opened.secret = session.secret
            opened.exposed.extend(self._exposed)
            opened.compressions.extend(available())
            backend = session.slot.made
            opened.version = 0 if backend is None else backend.version
            opened.resume_seconds = self._grace if session.resumes else 0.0
            return session
        answer.resume.SetInParent()
        if first.resume.leaves:
            self._manager.leave(first.resume)
            return None
        session = self._manager.resume(first.resume, stream)
        answer.resume.protocol_generation = PROTOCOL_GENERATION
        answer.resume.transports.extend(self._transports)
        return session


# See `serve`; grpc looks for it there.
StreamHandler.serve.experimental_non_blocking = True  # type: ignore[attr-defined] # pyright: ignore[reportFunctionMemberAccess] # as said


def _refuse(context: grpc.ServicerContext, reason: str) -> None:
    context.set_code(grpc.StatusCode.RESOURCE_EXHAUSTED)
    context.set_details(reason)


def _failed(request: Request, error: Exception) -> bytes:
    failure = error.failure if isinstance(error, CallFailedError) else draining()
    return failed_so(request.sequence, failure).SerializeToString()
