"""The gRPC lane of a client: one session stream, one request and one answer at a time."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator

import grpc

from rlmesh.errors import (
    CallTimeoutError,
    ConnectionLostError,
    EndpointDrainingError,
    EndpointError,
    StateError,
)
from rlmesh.lanes.failures import error_from_rpc, status_of
from rlmesh_api.v1 import env_service_pb2_grpc, session_pb2

# How long the end of a stream may take to arrive here.
_END_SECONDS = 1.0
# A signal that comes just before the wait begins does not end it, and Python runs the handler only
# afterwards: so many seconds may Ctrl-C take at most.
_LONGEST_WAIT = 0.5


class GrpcLane:
    """One session stream.

    grpc's iterator of answers blocks without a deadline, so a thread of its own reads it and hands
    the answers over; that costs a tenth of a round trip and makes every deadline exact.
    """

    name = "grpc"

    def __init__(self, stub: env_service_pb2_grpc.EnvServiceStub, address: str) -> None:
        self._address = address
        self._outbox: queue.SimpleQueue[session_pb2.SessionRequest | None] = queue.SimpleQueue()
        self._inbox: queue.SimpleQueue[session_pb2.SessionResponse | EndpointError] = (
            queue.SimpleQueue()
        )
        self._broken: EndpointError | None = None
        self._closed = False
        self._stream = stub.Session(iter(self._outbox.get, None))
        # The thread must not keep the lane alive, so it is given what it needs and no `self`.
        threading.Thread(
            target=_read,
            args=(self._stream, self._inbox, address),
            name="rlmesh-reader",
            daemon=True,
        ).start()

    def exchange(
        self, request: session_pb2.SessionRequest, timeout: float | None
    ) -> session_pb2.SessionResponse:
        """Sends a request and waits for its answer.

        Args:
            request: The request; its sequence number is larger than every one before.
            timeout: Seconds to wait, None: for ever.

        Raises:
            CallTimeoutError: If the answer did not come in time. It is dropped when it comes.
            EndpointDrainingError: If the server ended the stream.
            ConnectionLostError: If the stream broke. Either way every later exchange raises too.
            StateError: If another thread closed the lane meanwhile.
        """
        if self._broken is not None:
            raise type(self._broken)(str(self._broken))
        deadline = None if timeout is None else time.monotonic() + timeout
        self._outbox.put(request)
        while True:
            answer = self._receive(deadline, request, timeout)
            # An earlier number answers a call that nobody waits for any more.
            if answer.sequence == request.sequence:
                return answer

    def end(self) -> EndpointError | None:
        """Why the stream has ended; None if it has not within a second."""
        deadline = time.monotonic() + _END_SECONDS
        while self._broken is None:
            try:
                answer = self._inbox.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                return None
            if isinstance(answer, EndpointError):
                self._broken = answer
        return type(self._broken)(str(self._broken))

    def close(self) -> None:
        """Ends the stream; the server notices at once. May be called repeatedly."""
        self._closed = True
        self._outbox.put(None)
        self._stream.cancel()

    def _receive(
        self,
        deadline: float | None,
        request: session_pb2.SessionRequest,
        timeout: float | None,
    ) -> session_pb2.SessionResponse:
        while True:
            remaining = _LONGEST_WAIT
            if deadline is not None:
                remaining = min(remaining, max(0.0, deadline - time.monotonic()))
            try:
                answer = self._inbox.get(timeout=remaining)
                break
            except queue.Empty:
                if deadline is None or time.monotonic() < deadline:
                    continue
                raise CallTimeoutError(
                    f"{request.WhichOneof('call')}: no answer from {self._address} within "
                    f"{timeout} s; the environment may still be in that call. The next call must "
                    f"be a reset"
                ) from None
        if isinstance(answer, EndpointError):
            if self._closed:
                raise StateError(
                    f"{request.WhichOneof('call')}: another thread closed the connection to "
                    f"{self._address} during the call; make a new client"
                )
            self._broken = answer
            raise answer
        return answer


def _read(
    stream: Iterator[session_pb2.SessionResponse],
    inbox: queue.SimpleQueue[session_pb2.SessionResponse | EndpointError],
    address: str,
) -> None:
    try:
        for answer in stream:
            inbox.put(answer)
    except grpc.RpcError as error:
        inbox.put(_end_of_stream(error, address))
    else:
        inbox.put(_ended(address))


def _end_of_stream(error: grpc.RpcError, address: str) -> EndpointError:
    # A server that drains cancels the stream of an idle session.
    if status_of(error)[0] is grpc.StatusCode.CANCELLED:
        return _ended(address)
    lost = error_from_rpc(error, address, doing="session")
    return lost if isinstance(lost, EndpointError) else ConnectionLostError(str(lost))


def _ended(address: str) -> EndpointDrainingError:
    return EndpointDrainingError(
        f"the server at {address} ended the session: it is shutting down. Connect anew once it "
        f"serves again"
    )
