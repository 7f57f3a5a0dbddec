"""The gRPC lane of a client: one session stream, one request and one answer at a time."""

from __future__ import annotations

import atexit
import queue
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

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

_Inbox: TypeAlias = "queue.SimpleQueue[bytes | _Ended]"


class _Ended:
    """What the inbox holds when the stream has ended."""


class GrpcLane:
    """One session stream; see `Lane`.

    grpc takes an answer from the network when its iterator is asked for one, and then blocks
    without a deadline. Whoever waits for ever asks it himself, which wakes no further thread; for
    a wait with a deadline a thread of its own asks. An answer is handed over where grpc would
    deserialize it, on the thread on which it arrives, so that it is the same for both, and for a
    wait that was given up.

    Args:
        channel: The channel to the endpoint.
        address: The endpoint's address, for messages.
    """

    name = "grpc"

    def __init__(self, channel: grpc.Channel, address: str) -> None:
        self._address = address
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        inbox: _Inbox = queue.SimpleQueue()
        self._inbox = inbox
        # Requests sent, answers asked for, and answers that have come.
        self._sent = self._asked = self._come = 0
        self._unsure = False
        self._broken: EndpointError | None = None
        self._closed = False
        self._pump: _Pump | None = None
        method: grpc.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(
            SESSION_METHOD, response_deserializer=_into(inbox)
        )
        # None once it is closed: what still refers to it at the end of the program can hang there,
        # as Python stops grpc's threads wherever they are, also while they hold its lock.
        self._stream: Any = method(iter(self._outbox.get, None))
        self._stream.add_callback(lambda: inbox.put(_Ended()))

    def exchange(self, message: bytes, wait: Wait) -> Received:
        """Sends a request and waits for its answer; see `Lane`."""
        self.post(message, wait)
        return self.take(wait)

    def post(self, message: bytes, wait: Wait) -> None:
        """Sends a request; see `Lane`."""
        if self._broken is not None:
            raise type(self._broken)(str(self._broken))
        self._sent += 1
        self._outbox.put(message)

    def take(self, wait: Wait) -> Received:
        """Waits for the answer; see `Lane`."""
        while True:
            answer = self._receive(wait)
            # Before it come the answers to calls that nobody waits for any more.
            if self._come == self._sent:
                return answer, 0, len(answer)

    def end(self) -> EndpointError | None:
        """Why the stream has ended; None if it has not within a second."""
        deadline = time.monotonic() + _END_SECONDS
        while self._broken is None:
            try:
                answer = self._inbox.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                return None
            if isinstance(answer, _Ended):
                self._broken = self._why_ended()
        return type(self._broken)(str(self._broken))

    def close(self) -> None:
        """Ends the stream; the server notices at once. May be called repeatedly."""
        self._closed = True
        stream, self._stream = self._stream, None
        if stream is not None:
            self._outbox.put(None)
            stream.cancel()
        if self._pump is not None:
            self._pump.end()

    def leave_to_parent(self) -> None:
        """A forked process holds nothing of it that it could give back."""

    def _receive(self, wait: Wait) -> bytes:
        self._ask(wait)
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
            self._come += 1
            return answer
        if self._closed:
            raise closed_meanwhile(wait, self._address)
        self._broken = self._why_ended()
        raise self._broken

    def _ask(self, wait: Wait) -> None:
        """Has grpc take one answer from the network, unless it has been asked for it before."""
        stream = self._stream
        if self._asked > self._come and not self._unsure:
            return
        if stream is None:
            raise closed_meanwhile(wait, self._address)
        if wait.deadline is not None or self._unsure:
            self._asked = self._come + 1
            self._unsure = False
            if self._pump is None:
                self._pump = _Pump(stream)
            self._pump.ask()
            return
        self._asked = self._come + 1
        # Ctrl-C may come before grpc has begun, or after.
        self._unsure = True
        try:
            next(stream)
        except StopIteration:
            pass  # the inbox tells
        except grpc.RpcError as error:
            # It is the stream itself: its traceback would keep it in a cycle.
            error.with_traceback(None)
        self._unsure = False

    def _why_ended(self) -> EndpointError:
        stream = self._stream
        if stream is None or stream.code() is grpc.StatusCode.OK:
            return _ended(self._address)
        return _end_of_stream(stream, self._address)


class _Pump:
    """Asks grpc for answers on a thread of its own."""

    def __init__(self, stream: Iterator[bytes]) -> None:
        self._asked: queue.SimpleQueue[bool] = queue.SimpleQueue()
        # The thread must not keep the lane alive, so it is given what it needs and no `self`.
        self._thread = threading.Thread(
            target=_run_pump, args=(stream, self._asked), name="rlmesh-reader", daemon=True
        )
        self._thread.start()

    def ask(self) -> None:
        """Has it ask for one more answer."""
        self._asked.put(True)

    def end(self) -> None:
        """Ends the thread, whose stream ends."""
        self._asked.put(False)
        _ending.add(self._thread)


def _run_pump(stream: Iterator[bytes], asked: queue.SimpleQueue[bool]) -> None:
    while asked.get():
        try:
            next(stream)
        except StopIteration:
            return  # the inbox tells
        except grpc.RpcError as error:
            error.with_traceback(None)
            return
        except ValueError:
            # grpc was asked before: a wait was interrupted just after that.
            continue


_ending: weakref.WeakSet[threading.Thread] = weakref.WeakSet()


def _await_pumps() -> None:
    """Waits at the end of the program until the threads of closed streams have let go of them."""
    deadline = time.monotonic() + _END_SECONDS
    for thread in list(_ending):
        thread.join(max(0.0, deadline - time.monotonic()))


# Connections end their streams at the end of the program, and before this: what is registered
# later is called earlier.
atexit.register(_await_pumps)


def _into(inbox: _Inbox) -> Callable[[bytes], bytes]:
    """Hands answers over where grpc deserializes them; what it is to iterate over is empty."""

    def take(answer: bytes) -> bytes:
        inbox.put(answer)
        return b""

    return take


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
