"""Sends requests into a session's stream, and receives its answers from grpc.

The public interface of grpc costs a client four wake-ups more than a step needs: a thread of grpc
takes every request and is woken when it has left, and another wakes the thread that waits for the
answer. `SwiftStreamIO` starts both operations in one batch on the caller's thread. It uses
internals of grpc; where a grpc is built differently, `PlainStreamIO` uses what is public.
"""

from __future__ import annotations

import atexit
import importlib
import queue
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import grpc

__all__ = ["Ended", "Inbox", "StreamIO", "open_stream"]

_NO_FLAGS = 0
# How long a wait for grpc lasts before it checks for Ctrl-C.
_LONGEST_WAIT = 0.1
# How long the end of a stream may take to arrive here.
_END_SECONDS = 1.0


_ENTER = threading.Condition.__enter__.__code__
_LEAVE = threading.Condition.__exit__.__code__


class Ended:
    """What the inbox holds when the stream has ended."""


class Inbox(queue.SimpleQueue[bytes | Ended]):
    """Where answers arrive."""

    def take(self, answer: bytes) -> bytes:
        """Takes an answer where grpc would deserialize it, on the thread on which it arrives.

        What grpc then keeps is empty. It holds the stream's lock meanwhile: who sees the answer
        here may ask for the next.
        """
        self.put(answer)
        return b""


class StreamIO(Protocol):
    """Sends requests, and has answers put into the inbox; for one thread at a time."""

    def send(self, message: bytes, deadline: float | None) -> bool:
        """Sends a request and has one answer taken, unless one that was asked for is to come.

        On a stream that has ended it does nothing; the inbox has the end.

        Returns:
            Whether it left before the deadline, on the monotonic clock; a call before it that was
            given up may hold it up.
        """
        ...

    def send_piece(self, message: bytes, deadline: float | None) -> bool:
        """Sends a piece of a request that is not the last one; otherwise as `send`."""
        ...

    def ask(self) -> None:
        """Receives one more answer, unless one is being received already."""
        ...

    def end(self) -> None:
        """The stream has ended: puts `Ended` into the inbox, behind the last answer."""
        ...


def open_stream(method: Any, inbox: Inbox) -> tuple[Any, StreamIO, Callable[[], None]]:
    """Opens a stream.

    Args:
        method: Opens it, given an iterator of requests; puts answers into the inbox.
        inbox: Where the answers arrive, and at last `Ended`.

    Returns:
        The stream, what sends requests into it, and what ends its requests.
    """
    outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    stream = method(iter(outbox.get, None))
    exchanger: StreamIO
    try:
        exchanger = SwiftStreamIO(stream, inbox)
    except (ImportError, AttributeError, TypeError):
        exchanger = PlainStreamIO(stream, inbox, outbox)
    if not stream.add_callback(exchanger.end):
        exchanger.end()
    return stream, exchanger, lambda: outbox.put(None)


class SwiftStreamIO:
    """Starts grpc's operations by itself; see `StreamIO`.

    The stream's own account of what is due goes on as if grpc had started them.

    Args:
        stream: The stream.
        inbox: Where answers arrive.

    Raises:
        ImportError: If this grpc is built differently; so do AttributeError and TypeError.
    """

    def __init__(self, stream: Any, inbox: Inbox) -> None:
        channel: Any = importlib.import_module("grpc._channel")
        core: Any = importlib.import_module("grpc._cython.cygrpc")
        # Private, all of it; see above for what it saves.
        state = self._state = stream._state  # noqa: SLF001
        self._operate = stream._call.operate  # noqa: SLF001
        self._note = channel._event_handler(state, inbox.take)  # noqa: SLF001
        self._condition, self._due = state.condition, state.due
        # Without the condition around it, which Ctrl-C may leave locked.
        self._lock = state.condition._lock  # noqa: SLF001
        self._sending = core.OperationType.send_message
        self._receiving = core.OperationType.receive_message
        self._make_send = core.SendMessageOperation
        self._make_receive = core.ReceiveMessageOperation
        self._inbox = inbox
        self._ending = False

    def send(self, message: bytes, deadline: float | None) -> bool:
        """Sends a request; see `StreamIO`."""
        due, sending = self._due, self._sending
        with self._lock:
            if sending in due and not self._may_send(deadline):
                return False
            request = self._make_send(message, _NO_FLAGS)
            if self._receiving in due:
                self._start((request,), (sending,))
            else:
                receive = self._make_receive(_NO_FLAGS)
                self._start((request, receive), (sending, self._receiving))
        return True

    def send_piece(self, message: bytes, deadline: float | None) -> bool:
        """Sends a piece of a request; see `StreamIO`."""
        with self._lock:
            if not self._may_send(deadline):
                return False
            # Without an answer: the piece is due until it has left, and not until there is one.
            self._start((self._make_send(message, _NO_FLAGS),), (self._sending,))
        return True

    def ask(self) -> None:
        """Receives one more answer; see `StreamIO`."""
        with self._lock:
            if self._receiving not in self._due:
                self._start((self._make_receive(_NO_FLAGS),), (self._receiving,))

    def end(self) -> None:
        """The stream has ended; see `StreamIO`. On grpc's thread, as is `_handle`."""
        # grpc reports an answer only after the request of the same batch has left.
        self._ending = self._receiving in self._due
        if not self._ending:
            self._inbox.put(Ended())

    def _may_send(self, deadline: float | None) -> bool:
        """Waits until nothing is being sent; False at the deadline.

        The request of a call that was given up stays due until its answer has come, and the server
        reads the next one only then. Called with the stream's lock held.
        """
        while self._sending in self._due and self._state.code is None:
            if deadline is not None and time.monotonic() >= deadline:
                return False
            self._condition.wait(_LONGEST_WAIT)
        return True

    def _handle(self, event: Any) -> bool:
        """What grpc calls when operations have ended."""
        done: bool = self._note(event)
        if self._ending:
            self.end()
        return done

    def _start(self, operations: tuple[Any, ...], kinds: tuple[Any, ...]) -> None:
        """Starts operations; the stream's lock is held. Ctrl-C may come anywhere."""
        if self._state.code is not None:
            return
        started: list[bool] = []
        try:
            # Before they start, for grpc's thread breaks when what has happened was not due.
            self._due.update(kinds)
            # In one go, so that it is known whether they did.
            started.extend(map(self._operate, (operations,), (self._handle,)))
        except BaseException as interruption:
            if not (_mended(interruption) or started):
                self._due.difference_update(kinds)
            raise
        if not started[0]:
            self._due.difference_update(kinds)


def _mended(interruption: BaseException) -> bool:
    """Mends what Ctrl-C has left of grpc's lock; whether grpc was about to leave it.

    That lock is a condition of Python, and entering and leaving it all that runs of Python inside
    of grpc's operation. An interrupted one stays locked, and grpc's thread would wait for ever.
    """
    leaving = False
    for frame, _ in traceback.walk_tb(interruption.__traceback__):
        if frame.f_code in (_ENTER, _LEAVE):
            leaving = leaving or frame.f_code is _LEAVE
            condition = frame.f_locals["self"]
            while condition._is_owned():  # noqa: SLF001 # nothing public tells
                condition.release()
    return leaving


class PlainStreamIO:
    """Has grpc's own threads send and receive; see `StreamIO`.

    Args:
        stream: The stream.
        inbox: Where answers arrive.
        outbox: What the stream iterates over.
    """

    def __init__(
        self,
        stream: Iterator[bytes],
        inbox: Inbox,
        outbox: queue.SimpleQueue[bytes | None],
    ) -> None:
        self._inbox, self._outbox = inbox, outbox
        # The thread must not keep the transport alive, so it is given what it needs and no `self`.
        reader = threading.Thread(target=_drain, args=(stream,), name="rlmesh-reader", daemon=True)
        reader.start()
        _readers.add(reader)

    def send(self, message: bytes, deadline: float | None) -> bool:
        """Sends a request; see `StreamIO`."""
        self._outbox.put(message)
        return True

    # An answer is taken whenever it comes.
    send_piece = send

    def ask(self) -> None:
        """Answers are taken as they come."""

    def end(self) -> None:
        """The stream has ended; see `StreamIO`."""
        self._inbox.put(Ended())


def _drain(stream: Iterator[bytes]) -> None:
    try:
        for _ in stream:
            pass  # the inbox has it
    except grpc.RpcError as error:
        # It is the stream itself: its traceback would keep it in a cycle.
        error.with_traceback(None)


_readers: weakref.WeakSet[threading.Thread] = weakref.WeakSet()


def _await_readers() -> None:
    """Waits at the end of the program until the threads of closed streams have let go of them."""
    deadline = time.monotonic() + _END_SECONDS
    for thread in list(_readers):
        thread.join(max(0.0, deadline - time.monotonic()))


# Connections end their streams at the end of the program, and before this: what is registered
# later is called earlier.
atexit.register(_await_readers)
