"""The server's side of compressed messages: a pipe around the session's."""

from __future__ import annotations

from google.protobuf.message import DecodeError

from rlmesh.codec.slab.protocols import Writable
from rlmesh.codec.step.wire import PREFIX, sequence_of, tag_of
from rlmesh.limits import MAX_COMPRESSED_REQUEST_BYTES
from rlmesh.transports.compression.algorithms import IDENTITY, available
from rlmesh.transports.compression.messages import (
    LEAST_BYTES,
    compressed_answer,
    is_compressed_answer,
    sequence_at,
    uncompressed,
)
from rlmesh.transports.pipe import Pipe, Received, WakeReason
from rlmesh_api.v1 import session_pb2

_REQUEST_TAG = tag_of(session_pb2.SessionRequest, "compressed")[0]


class CompressingPipe:
    """A pipe whose requests may be compressed, and whose answers are where a request asks for that.

    See `Pipe`, which it is, around another one. Answers that say why a call has failed cross as
    they are.

    Args:
        pipe: The pipe around which it is.
    """

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._buffer: Writable | None = None
        self._compression: session_pb2.Compression.ValueType = IDENTITY
        self.reserved: int = pipe.reserved

    @property
    def answer_pending(self) -> bool:
        """Whether a message was sent whose answer was not received."""
        return self._pipe.answer_pending

    def watch(self, wake_fd: int) -> None:
        """Has a descriptor end every later `receive`; see `Pipe`."""
        self._pipe.watch(wake_fd)

    def send(self, message: bytes) -> None:
        """Sends a message as it is; see `Pipe`."""
        self._pipe.send(message)

    def last(self) -> bytes:
        """The message that was sent last, as it crossed; see `Pipe`."""
        return self._pipe.last()

    def send_out_of_band(self, message: bytes) -> None:
        """Sends a message as it is, beside another thread; see `Pipe`."""
        self._pipe.send_out_of_band(message)

    def finish(self) -> None:
        """Ends the transport once the last message has left; see `Pipe`."""
        self._pipe.finish()

    def close(self) -> None:
        """Ends the transport; see `Pipe`."""
        self._pipe.close()

    def leave_to_parent(self) -> None:
        """Closes what a forked process has inherited; see `Pipe`."""
        self._pipe.leave_to_parent()

    def release(self) -> None:
        """Ends the transport and frees what it holds; see `Pipe`."""
        self._pipe.release()

    def reserve(self, nbytes: int, keep: int = 0) -> Writable:
        """A buffer for a message; see `Outbox`."""
        buffer = self._buffer = self._pipe.reserve(nbytes, keep)
        return buffer

    def post(self, start: int, end: int) -> None:
        """Sends what stands there, compressed where the request asked for that; see `Pipe`."""
        message = self._compressed(start, end)
        if message is None:
            self._pipe.post(start, end)
        else:
            self._pipe.send(message)

    def _compressed(self, start: int, end: int) -> bytes | None:
        """The answer that stands there in compressed form; None where it crosses as it is."""
        buffer, compression = self._buffer, self._compression
        if buffer is None or compression == IDENTITY or end - start < LEAST_BYTES:
            return None
        # An answer that was kept and is sent again may be compressed already.
        if is_compressed_answer(buffer, start):
            return None
        sequence = sequence_at(buffer, start)
        if sequence is None:
            return None
        # Released at once: the pipe may hand the memory out.
        with memoryview(buffer) as whole, whole[start:end] as answer:
            return compressed_answer(answer, sequence, compression)

    def receive(self, deadline: float | None = None) -> Received | WakeReason:
        """Waits for the next message, and reads it where it is compressed; see `Pipe`.

        Raises:
            BadFrameError: If no correct peer sends such a frame.
            DecodeError: If a compressed message is damaged.
        """
        received = self._pipe.receive(deadline)
        if not isinstance(received, tuple):
            return received
        buffer, start, end = received
        self._compression = IDENTITY
        if end - start <= PREFIX or buffer[start + PREFIX] != _REQUEST_TAG:
            return received
        message = self.read(session_pb2.SessionRequest.FromString(bytes(buffer[start:end])))
        return message, 0, len(message)

    def read(self, request: session_pb2.SessionRequest) -> bytes:
        """The request in a compressed one; the answer will be compressed as that one says.

        Raises:
            DecodeError: If it is damaged.
        """
        wanted = request.compressed.answer
        self._compression = wanted if wanted in available() else IDENTITY
        message = uncompressed(request.compressed, MAX_COMPRESSED_REQUEST_BYTES)
        if sequence_of(message) != request.sequence:
            raise DecodeError(
                f"a compressed request has another sequence than the message around it, which has "
                f"{request.sequence}"
            )
        return message
