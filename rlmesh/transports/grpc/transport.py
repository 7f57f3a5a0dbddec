"""The gRPC transport of a client: one session stream, one request and one answer at a time."""

from __future__ import annotations

import ctypes
import queue
import time
from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from rlmesh.codec.step.wire import sequence_of
from rlmesh.errors import ConnectionLostError, EndpointDrainingError, EndpointError
from rlmesh.transports.copying import left_to_reader
from rlmesh.transports.failures import error_from_failure, error_from_rpc, status_of
from rlmesh.transports.grpc.pieces import PIECE_BYTES, pieces
from rlmesh.transports.grpc.stream_io import Ended, Inbox, StreamIO, open_stream
from rlmesh.transports.pipe import Received
from rlmesh.transports.transport import Wait, closed_meanwhile, late
from rlmesh_api.v1 import session_pb2


def session_method(service: str) -> str:
    """The method of the session stream, as gRPC names it.

    Args:
        service: The full name of the service.
    """
    return f"/{service}/Session"


# How long the end of a stream may take to arrive here.
_END_SECONDS = 1.0
# From this size on a copy costs more than avoiding it.
_LARGE = 1 << 15
# A signal that comes just before the wait begins does not end it, and Python runs the handler only
# afterwards: so many seconds may Ctrl-C take at most.
_LONGEST_WAIT = 0.5


class GrpcTransport:
    """One session stream; see `Transport`.

    An answer is handed over where grpc would deserialize it, on the thread on which it arrives:
    the thread that waits for it needs no other wake-up, with a deadline or without.

    Args:
        channel: The channel to the endpoint.
        service: The full name of the endpoint's service.
        address: The endpoint's address, for messages.

    Attributes:
        expired: Whether `expire` has ended the stream.
    """

    name = "grpc"

    def __init__(self, channel: grpc.Channel, service: str, address: str) -> None:
        self._address = address
        inbox = self._inbox = Inbox()
        self._broken: EndpointError | None = None
        self._closed = False
        self.expired: bool = False
        method: grpc.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(
            session_method(service), response_deserializer=inbox.take
        )
        # None once it is closed: what still refers to it at the end of the program can hang there,
        # as Python stops grpc's threads wherever they are, also while they hold its lock.
        self._stream: Any
        self._exchanger: StreamIO | None
        self._stream, self._exchanger, self._end_requests = open_stream(method, inbox)

    def post(self, message: bytes, wait: Wait) -> None:
        """Sends a request; see `Transport`."""
        exchanger = self._exchanger
        if exchanger is None:
            raise closed_meanwhile(wait, self._address)
        if self._broken is not None:
            raise type(self._broken)(str(self._broken))
        if len(message) >= PIECE_BYTES:
            self._post_pieces(exchanger, message, wait)
        elif not exchanger.send(message, wait.deadline):
            raise late(wait, self._address)

    def reserve(self, nbytes: int, wait: Wait) -> None:
        """Returns None: gRPC takes a request as bytes; see `Transport`."""

    def post_written(self, start: int, end: int) -> None:
        """Is not called: there is no buffer; see `Transport`."""
        raise NotImplementedError

    def posted(self) -> bytes:
        """Is not called: there is no buffer; see `Transport`."""
        raise NotImplementedError

    def take(self, sequence: int, wait: Wait) -> Received:
        """Waits for the answer; see `Transport`."""
        while True:
            answer = self._receive(wait)
            # Answers to calls that were given up come before it.
            if (sequence_of(answer) or sequence) >= sequence:
                return answer if len(answer) < _LARGE else left_to_reader(answer), 0, len(answer)
            if self._exchanger is not None:
                self._exchanger.ask()

    def end(self, seconds: float) -> EndpointError | None:
        """Why the stream has ended; None if it has not within so many seconds."""
        deadline = time.monotonic() + seconds
        if seconds and self._broken is None and self._inbox.empty() and self._exchanger is not None:
            # The end arrives behind the server's last message, which must be requested.
            self._exchanger.ask()
        while self._broken is None:
            try:
                answer = self._inbox.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                return None
            if isinstance(answer, Ended):
                self._broken = self._why_ended()
            elif sequence_of(answer) is None:
                self._broken = self._last_words(answer)
        return type(self._broken)(str(self._broken))

    def call_at_end(self, callback: Callable[[], None]) -> None:
        """Has a function called when the stream has ended, mostly on a thread of grpc's."""
        # The stream may have ended already.
        if self._stream is None or not self._stream.add_callback(callback):
            callback()

    def expire(self) -> None:
        """Ends the stream at a deadline; the wait raises then. Any thread may call it."""
        stream = self._stream
        if stream is not None:
            self.expired = True
            stream.cancel()

    def close(self) -> None:
        """Ends the stream; the server notices at once. May be called repeatedly."""
        self._closed = True
        stream, self._stream = self._stream, None
        self._exchanger = None
        if stream is not None:
            self._end_requests()
            stream.cancel()

    def leave_to_parent(self) -> None:
        """Keeps the stream for ever in a forked process, which shares its connection.

        Dropping it, at the process's end at the latest, would cancel it: the parent's too.
        """
        if self._stream is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._stream))

    def _post_pieces(self, stream_io: StreamIO, message: bytes, wait: Wait) -> None:
        """Sends a large request, whole or not at all: one that is cut short ends the stream."""
        begun = whole = False
        try:
            for piece in pieces(message):
                last = len(piece) < PIECE_BYTES
                send = stream_io.send if last else stream_io.send_piece
                if not send(piece, wait.deadline):
                    raise late(wait, self._address)
                begun, whole = True, last
        finally:
            stream = self._stream
            if begun and not whole and stream is not None:
                stream.cancel()
                self._broken = ConnectionLostError(
                    f"session: a call was given up while its request was on its way to "
                    f"{self._address}"
                )

    def _receive(self, wait: Wait) -> bytes:
        while True:
            remaining = _LONGEST_WAIT
            if wait.deadline is not None:
                remaining = min(remaining, max(0.0, wait.deadline - time.monotonic()))
            try:
                answer = self._inbox.get(timeout=remaining)
                break
            except queue.Empty:
                if wait.deadline is None or time.monotonic() < wait.deadline:
                    continue
                raise late(wait, self._address) from None
        if isinstance(answer, bytes):
            return answer
        if self._closed:
            raise closed_meanwhile(wait, self._address)
        if self.expired:
            raise late(wait, self._address)
        self._broken = self._why_ended()
        raise self._broken

    def _last_words(self, message: bytes) -> EndpointError | None:
        """Why the server ends the session, where it says so without being asked."""
        try:
            failure = session_pb2.SessionResponse.FromString(message).failure
        except DecodeError:
            return None
        error = error_from_failure(failure, self._address)
        return error if isinstance(error, EndpointError) else None

    def _why_ended(self) -> EndpointError:
        stream = self._stream
        if stream is None or stream.code() is grpc.StatusCode.OK:
            return _ended(self._address)
        return _end_of_stream(stream, self._address)


def _end_of_stream(error: grpc.RpcError, address: str) -> EndpointError:
    code, details = status_of(error)
    # A server that drains cancels the stream of an idle session.
    if code is grpc.StatusCode.CANCELLED:
        return _ended(address)
    if code in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN):
        # How HTTP/2 and proxies say that they ended it; a server of RLMesh never does.
        return ConnectionLostError(f"session: the connection to {address} broke ({details})")
    lost = error_from_rpc(error, address, doing="session")
    return lost if isinstance(lost, EndpointError) else ConnectionLostError(str(lost))


def _ended(address: str) -> EndpointDrainingError:
    return EndpointDrainingError(
        f"the server at {address} ended the session: it is shutting down. Make a new client "
        f"once it serves again"
    )
