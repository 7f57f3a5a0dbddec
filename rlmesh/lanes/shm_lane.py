"""The shared-memory lane of a client."""

from __future__ import annotations

import threading
import time

from google.protobuf.message import DecodeError

from rlmesh.errors import CallTimeoutError, ConnectionLostError, ProtocolError, StateError
from rlmesh.lanes.bell import Woken
from rlmesh.lanes.grpc_lane import GrpcLane
from rlmesh.lanes.port import BadFrameError, Port
from rlmesh_api.v1 import session_pb2


class ShmLane:
    """Calls of a session through shared memory.

    Args:
        port: The client's end.
        stream: The session's stream, which knows why the session ended.
        address: The endpoint's address, for messages.
    """

    name = "shm"

    def __init__(self, port: Port, stream: GrpcLane, address: str) -> None:
        self._port = port
        self._stream = stream
        self._address = address
        self._closed = False
        self._in_use = threading.Lock()

    def exchange(
        self, request: session_pb2.SessionRequest, timeout: float | None
    ) -> session_pb2.SessionResponse:
        """Sends a request and waits for its answer, as `GrpcLane.exchange` does."""
        try:
            with self._in_use:
                return self._exchange(request, timeout)
        finally:
            if self._closed:
                self._port.release()

    def close(self) -> None:
        """Ends the lane; the server notices at once. May be called repeatedly."""
        self._closed = True
        self._port.close()
        # A call that is under way on another thread gives the socket back when it returns.
        if self._in_use.acquire(blocking=False):
            self._port.release()
            self._in_use.release()

    def leave_to_parent(self) -> None:
        """Gives back what a forked process holds of its parent's lane, which goes on."""
        self._port.leave_to_parent()

    def _exchange(
        self, request: session_pb2.SessionRequest, timeout: float | None
    ) -> session_pb2.SessionResponse:
        call = request.WhichOneof("call") or "no call"
        deadline = None if timeout is None else time.monotonic() + timeout
        # A deadline or Ctrl-C ended the wait for an answer: it is taken before the next call goes.
        if self._port.owed:
            self._receive(call, deadline, timeout)
        self._port.send(request.SerializeToString())
        try:
            answer = session_pb2.SessionResponse.FromString(self._receive(call, deadline, timeout))
        except DecodeError as error:
            raise ProtocolError(f"{self._address} sent a damaged message: {error}") from error
        if answer.sequence != request.sequence:
            raise ProtocolError(
                f"{self._address} answered call {answer.sequence} to call {request.sequence}"
            )
        return answer

    def _receive(self, call: str, deadline: float | None, timeout: float | None) -> bytes:
        try:
            message = self._port.receive(deadline)
        except BadFrameError as error:
            raise ProtocolError(f"{self._address} sent what cannot be: {error}") from error
        if isinstance(message, bytes):
            return message
        if message is Woken.LATE:
            raise CallTimeoutError(
                f"{call}: no answer from {self._address} within {timeout} s; the environment may "
                f"still be in that call. The next call must be a reset"
            )
        if self._closed:
            raise StateError(
                f"{call}: another thread closed the connection to {self._address} during the "
                f"call; make a new client"
            )
        raise self._stream.end() or ConnectionLostError(
            f"{call}: the server at {self._address} left the shared memory; connect anew"
        )
