"""A session's stream as a pipe, and as the source of its calls."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import grpc

from rlmesh.codec.slab.protocols import Writable
from rlmesh.server.rpc.open_stream import OpenStream
from rlmesh.server.sessions.calls import CallReceiver
from rlmesh.transports.grpc.outbox import StreamOutbox
from rlmesh.transports.pipe import Received, WakeReason


class StreamPipe:
    """The stream as a pipe of the server; see `Pipe`.

    Args:
        requests: The requests, as they arrive.
        stream: The stream.
        first: The request that has already arrived.

    Attributes:
        ended: Set when no more requests are taken.
    """

    reserved = 0

    def __init__(
        self,
        requests: Iterator[bytes],
        stream: OpenStream,
        first: bytes,
    ) -> None:
        self.ended: threading.Event = threading.Event()
        self._requests = requests
        self._stream = stream
        self._to_client = stream.send
        self._first: bytes | None = first
        self._finished = False
        self._outbox = StreamOutbox()
        self._last = b""

    @property
    def answer_pending(self) -> bool:
        """False; only a client's pipe has a use for it."""
        return False

    def reserve(self, nbytes: int, keep: int = 0) -> Writable:
        """A buffer for a message; see `Outbox`."""
        return self._outbox.reserve(nbytes, keep)

    def watch(self, wake_fd: int) -> None:
        """Nothing: `StreamCallReceiver.ring` ends a wait."""

    def send(self, message: bytes) -> None:
        """Sends a message."""
        self._last = message
        self._to_client(message)

    def post(self, start: int, end: int) -> None:
        """Sends the bytes from `start` to `end` of the buffer that `reserve` returned last."""
        message = self._last = self._outbox.message(start, end)
        self._to_client(message)

    def last(self) -> bytes:
        """The message that was sent last; see `Pipe`."""
        return self._last

    def receive(self, deadline: float | None = None) -> Received | WakeReason:
        """Waits for the next message; the deadline is not used."""
        message, self._first = self._first, None
        if self._finished:
            return WakeReason.GONE
        if message is None:
            try:
                message = next(self._requests)
            except (StopIteration, grpc.RpcError):
                return WakeReason.GONE
        return message, 0, len(message)

    def send_out_of_band(self, message: bytes) -> None:
        """Sends a message while another thread may be writing into the reserved buffer."""
        self.send(message)

    def finish(self) -> None:
        """Receives no more messages; the stream ends with the session."""
        self._finished = True

    def close(self) -> None:
        """Ends the stream at once, unless it ends by itself. Any thread may, repeatedly."""
        if not (self._finished or self.ended.is_set()):
            self._stream.cancel()

    def leave_to_parent(self) -> None:
        """Nothing: only a client's pipe is used by a forked process."""

    def release(self) -> None:
        """Ends it; the stream's thread does the rest."""
        self.ended.set()


class StreamCallReceiver(CallReceiver):
    """The calls of a stream; see `CallReceiver`."""

    by_stream = True

    def ring(self) -> None:
        """Ends the stream if no call is in progress: nothing else ends a wait for the next request.

        The thread has something else to do only when the server ends, and then the answer to a call
        in progress is the last.
        """
        if not self.busy:
            self.close()
