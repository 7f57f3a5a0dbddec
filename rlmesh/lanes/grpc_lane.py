"""The gRPC lane of a client: one session stream, one request and one answer at a time."""

from __future__ import annotations

import atexit
import ctypes
import queue
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from rlmesh.errors import ConnectionLostError, EndpointDrainingError, EndpointError
from rlmesh.lanes.failures import error_from_failure, error_from_rpc, status_of
from rlmesh.lanes.lane import Wait, closed_meanwhile, late
from rlmesh.lanes.port import Received
from rlmesh.lanes.wire import sequence_of
from rlmesh_api.v1 import env_service_pb2, session_pb2

SESSION_METHOD = f"/{env_service_pb2.DESCRIPTOR.services_by_name['EnvService'].full_name}/Session"
"""The method of the session stream, as gRPC names it."""

# How long the end of a stream may take to arrive here.
_END_SECONDS = 1.0
# A signal that comes just before the wait begins does not end it, and Python runs the handler only
# afterwards: so many seconds may Ctrl-C take at most.
_LONGEST_WAIT = 0.5


class _Ended:
    """What the inbox holds when the stream has ended."""


class _Inbox(queue.SimpleQueue[bytes | _Ended]):
    """Where answers arrive.

    Attributes:
        arrived: How many have.
    """

    def __init__(self) -> None:
        self.arrived = 0

    def take(self, answer: bytes) -> bytes:
        """Takes an answer where grpc would deserialize it; what grpc is to iterate over is empty.

        grpc holds the stream's lock meanwhile: who sees the answer here may ask for the next.
        """
        self.arrived += 1
        self.put(answer)
        return b""


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
        inbox = self._inbox = _Inbox()
        self._broken: EndpointError | None = None
        self._closed = self._expired = False
        self._pump: _Pump | None = None
        method: grpc.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(
            SESSION_METHOD, response_deserializer=inbox.take
        )
        # None once it is closed: what still refers to it at the end of the program can hang there,
        # as Python stops grpc's threads wherever they are, also while they hold its lock.
        self._stream: Any = method(iter(self._outbox.get, None))
        self.call_at_end(lambda: inbox.put(_Ended()))
        self._asker = _Asker(inbox)

    def exchange(self, message: bytes, sequence: int, wait: Wait) -> Received:
        """Sends a request and waits for its answer; see `Lane`."""
        self.post(message, wait)
        return self.take(sequence, wait)

    def post(self, message: bytes, wait: Wait) -> None:
        """Sends a request; see `Lane`."""
        if self._asker.unsure:
            self._broken = ConnectionLostError(
                f"{wait.call}: an earlier call to {self._address} was interrupted in the one "
                f"moment that the connection does not survive"
            )
        if self._broken is not None:
            raise type(self._broken)(str(self._broken))
        self._outbox.put(message)

    def take(self, sequence: int, wait: Wait) -> Received:
        """Waits for the answer; see `Lane`."""
        while True:
            answer = self._receive(wait)
            # Before it come the answers to calls that nobody waits for any more.
            if (sequence_of(answer) or sequence) >= sequence:
                return answer, 0, len(answer)

    def end(self, seconds: float) -> EndpointError | None:
        """Why the stream has ended; None if it has not within so many seconds."""
        deadline = time.monotonic() + seconds
        if seconds and self._broken is None and self._inbox.empty() and self._stream is not None:
            # The end arrives behind what the server said last, which somebody has to ask for.
            self._pumped(self._stream).ask()
        while self._broken is None:
            try:
                answer = self._inbox.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                return None
            if isinstance(answer, _Ended):
                self._broken = self._why_ended()
            elif sequence_of(answer) is None:
                self._broken = self._last_words(answer)
        return type(self._broken)(str(self._broken))

    def call_at_end(self, callback: Callable[[], None]) -> None:
        """Has a function called when the stream has ended, mostly on a thread of grpc's."""
        # It may have ended before it could be asked to tell.
        if self._stream is None or not self._stream.add_callback(callback):
            callback()

    def expire(self) -> None:
        """Ends the stream, for whoever waits has waited for too long. Any thread may."""
        stream = self._stream
        if stream is not None:
            self._expired = True
            stream.cancel()

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
        """Keeps the stream for ever in a forked process, which shares its connection.

        Dropping it, at the process's end at the latest, would cancel it: the parent's too.
        """
        if self._stream is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._stream))

    def _receive(self, wait: Wait) -> bytes:
        if self._inbox.empty():
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
            return answer
        if self._closed:
            raise closed_meanwhile(wait, self._address)
        if self._expired:
            raise late(wait, self._address)
        self._broken = self._why_ended()
        raise self._broken

    def _ask(self, wait: Wait) -> None:
        """Has grpc take one answer from the network, unless it is about to."""
        stream = self._stream
        if stream is None:
            raise closed_meanwhile(wait, self._address)
        # Never both: of two that wait for an answer, the wrong one may be told of it.
        if wait.deadline is None and self._pump is None:
            self._asker.ask(stream)
            return
        self._pumped(stream).ask()

    def _pumped(self, stream: Iterator[bytes]) -> _Pump:
        if self._pump is None:
            self._pump = _Pump(stream, self._asker)
        return self._pump

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


class _Asker:
    """Has grpc take answers from the network, one at a time.

    grpc breaks when it is asked for an answer while it is about to give one. So it is counted how
    many were asked for, though Ctrl-C may end the asking anywhere.

    Attributes:
        unsure: Whether Ctrl-C came just where nobody can tell.
    """

    def __init__(self, inbox: _Inbox) -> None:
        self.unsure = False
        self._inbox = inbox
        self._asked = 0

    def ask(self, stream: Iterator[bytes]) -> None:
        """Asks for one answer and waits for it; not if one is still to come, as the inbox tells.

        It may return early: what an interrupted wait has left there, grpc gives at once.
        """
        before = self._asked
        if before > self._inbox.arrived:
            return
        try:
            self._asked = before + 1
            next(stream)
        except StopIteration:
            pass  # the inbox tells
        except grpc.RpcError as error:
            # It is the stream itself: its traceback would keep it in a cycle.
            error.with_traceback(None)
        except BaseException as interruption:
            self._find_out(interruption, before)
            raise

    def _find_out(self, interruption: BaseException, before: int) -> None:
        """Whether grpc was asked; it was if it is waiting."""
        frames = [frame for frame, _ in traceback.walk_tb(interruption.__traceback__)][1:]
        if not frames:
            self._asked = before
        elif self._inbox.arrived <= before:
            waiting = threading.Condition.wait.__code__
            self.unsure = all(frame.f_code is not waiting for frame in frames)


class _Pump:
    """Asks grpc for answers on a thread of its own."""

    def __init__(self, stream: Iterator[bytes], asker: _Asker) -> None:
        self._tokens: queue.SimpleQueue[bool] = queue.SimpleQueue()
        # The thread must not keep the lane alive, so it is given what it needs and no `self`.
        self._thread = threading.Thread(
            target=_run_pump, args=(stream, asker, self._tokens), name="rlmesh-reader", daemon=True
        )
        self._thread.start()

    def ask(self) -> None:
        """Has it ask for an answer."""
        self._tokens.put(True)

    def end(self) -> None:
        """Ends the thread, whose stream ends."""
        self._tokens.put(False)
        _ending.add(self._thread)


def _run_pump(stream: Iterator[bytes], asker: _Asker, tokens: queue.SimpleQueue[bool]) -> None:
    while tokens.get():
        asker.ask(stream)


_ending: weakref.WeakSet[threading.Thread] = weakref.WeakSet()


def _await_pumps() -> None:
    """Waits at the end of the program until the threads of closed streams have let go of them."""
    deadline = time.monotonic() + _END_SECONDS
    for thread in list(_ending):
        thread.join(max(0.0, deadline - time.monotonic()))


# Connections end their streams at the end of the program, and before this: what is registered
# later is called earlier.
atexit.register(_await_pumps)


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
        f"the server at {address} ended the session: it is shutting down. Connect anew once it "
        f"serves again"
    )
