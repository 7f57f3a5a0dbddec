"""The gRPC lane of a client: one session stream, one request and one answer at a time."""

from __future__ import annotations

import atexit
import queue
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import TypeAlias

import grpc

from rlmesh.errors import ConnectionLostError, EndpointDrainingError, EndpointError
from rlmesh.lanes.failures import error_from_rpc, status_of
from rlmesh.lanes.lane import Wait, closed_meanwhile, late
from rlmesh.lanes.port import Received
from rlmesh_api.v1 import env_service_pb2

SESSION_METHOD = f"/{env_service_pb2.DESCRIPTOR.services_by_name['EnvService'].full_name}/Session"
"""The method of the session stream, as gRPC names it."""

# How long the end of a stream may take to arrive here.
_END_SECONDS = 1.0
# A signal that comes just before the wait begins does not end it, and Python runs the handler only
# afterwards: so many seconds may Ctrl-C take at most.
_LONGEST_WAIT = 0.5

_Inbox: TypeAlias = "queue.SimpleQueue[bytes | EndpointError]"


class GrpcLane:
    """One session stream; see `Lane`.

    grpc's iterator of answers blocks without a deadline, so a thread of its own reads it. Nobody
    waits for that thread: an answer is handed over where grpc would deserialize it, on the thread
    on which it arrives.

    Args:
        channel: The channel to the endpoint.
        address: The endpoint's address, for messages.
    """

    name = "grpc"

    def __init__(self, channel: grpc.Channel, address: str) -> None:
        self._address = address
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._inbox: _Inbox = queue.SimpleQueue()
        self._owed = 0
        self._broken: EndpointError | None = None
        self._closed = False
        method: grpc.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(
            SESSION_METHOD, response_deserializer=_into(self._inbox)
        )
        stream = method(iter(self._outbox.get, None))
        # None once it is closed: the reader drops it then, when it has ended.
        self._stream: grpc.RpcContext | None = stream
        # The thread must not keep the lane alive, so it is given what it needs and no `self`.
        self._reader = threading.Thread(
            target=_read,
            args=(stream, self._inbox, address),
            name="rlmesh-reader",
            daemon=True,
        )
        self._reader.start()

    def exchange(self, message: bytes, wait: Wait) -> Received:
        """Sends a request and waits for its answer; see `Lane`."""
        self.post(message, wait)
        return self.take(wait)

    def post(self, message: bytes, wait: Wait) -> None:
        """Sends a request; see `Lane`."""
        if self._broken is not None:
            raise type(self._broken)(str(self._broken))
        self._owed += 1
        self._outbox.put(message)

    def take(self, wait: Wait) -> Received:
        """Waits for the answer; see `Lane`."""
        while True:
            answer = self._receive(wait)
            self._owed -= 1
            # Before it come the answers to calls that nobody waits for any more.
            if not self._owed:
                return answer, 0, len(answer)

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
        stream, self._stream = self._stream, None
        if stream is not None:
            _ending.add(self._reader)
            self._outbox.put(None)
            stream.cancel()

    def leave_to_parent(self) -> None:
        """A forked process holds nothing of it that it could give back."""

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
        self._broken = answer
        raise answer


_ending: weakref.WeakSet[threading.Thread] = weakref.WeakSet()


def _await_readers() -> None:
    """Waits at the end of the program for closed streams to have ended, and to be dropped.

    Python stops grpc's threads wherever they are, and some of them hold the lock of a stream while
    it ends. Whoever drops that stream later waits for the lock for ever.
    """
    deadline = time.monotonic() + _END_SECONDS
    for reader in list(_ending):
        reader.join(max(0.0, deadline - time.monotonic()))


# Connections end their streams at the end of the program, and before this: what is registered
# later is called earlier.
atexit.register(_await_readers)


def _into(inbox: _Inbox) -> Callable[[bytes], bytes]:
    """Hands answers over where grpc deserializes them; what it is to iterate over is empty."""

    def take(answer: bytes) -> bytes:
        inbox.put(answer)
        return b""

    return take


def _read(stream: Iterator[bytes], inbox: _Inbox, address: str) -> None:
    try:
        for _ in stream:
            pass  # see `_into`
    except grpc.RpcError as error:
        # It is the stream itself, and its traceback would keep it in a cycle; see `_await_readers`.
        error.with_traceback(None)
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
