"""The client's side of compressed messages: a transport around the session's."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

from google.protobuf.message import DecodeError

from rlmesh.codec.slab.protocols import Writable
from rlmesh.codec.step.wire import PREFIX, sequence_of
from rlmesh.errors import ProtocolError
from rlmesh.limits import MAX_COMPRESSED_REQUEST_BYTES, MAX_MESSAGE_BYTES
from rlmesh.transports.compression.algorithms import IDENTITY
from rlmesh.transports.compression.choice import Choice
from rlmesh.transports.compression.messages import (
    LEAST_BYTES,
    compressed_request,
    is_compressed_answer,
    uncompressed,
)
from rlmesh.transports.copying import left_to_reader
from rlmesh.transports.pipe import Received
from rlmesh.transports.transport import Transport, Wait
from rlmesh_api.v1 import session_pb2


class CompressingTransport:
    """A transport whose messages may cross in compressed form; see `Transport`.

    Args:
        transport: The transport around which it is.
        choice: Chooses the compression of each exchange.
        address: The endpoint's address, for messages.

    Attributes:
        name: The name of that transport.
    """

    def __init__(self, transport: Transport, choice: Choice, address: str) -> None:
        self.name: str = transport.name
        self._transport = transport
        self._choice = choice
        self._address = address
        self._call = ""
        self._sent = 0
        self._posted = 0.0
        self.close: Callable[[], None] = transport.close
        self.leave_to_parent: Callable[[], None] = transport.leave_to_parent

    def post(self, message: bytes, wait: Wait) -> None:
        """Sends a request; see `Transport`."""
        self._call, self._sent, self._posted = wait.call, len(message), perf_counter()
        compression = self._choice.next(wait.call)
        # A server takes no larger one in compressed form.
        if compression != IDENTITY and len(message) <= MAX_COMPRESSED_REQUEST_BYTES:
            sequence = sequence_of(message)
            # A message of a form that no client of ours writes crosses as it is.
            if sequence is not None:
                message = compressed_request(message, sequence, compression)
        self._transport.post(message, wait)

    def reserve(self, nbytes: int, wait: Wait) -> Writable | None:
        """Returns None: a request is compressed from bytes; see `Transport`."""

    def post_written(self, start: int, end: int) -> None:
        """Is not called: there is no buffer; see `Transport`."""
        raise NotImplementedError

    def posted(self) -> bytes:
        """Is not called: there is no buffer; see `Transport`."""
        raise NotImplementedError

    def take(self, sequence: int, wait: Wait) -> Received:
        """Waits for the answer; see `Transport`."""
        received = self._transport.take(sequence, wait)
        buffer, start, end = received
        if end - start > PREFIX and is_compressed_answer(buffer, start):
            received = self._uncompressed(bytes(buffer[start:end]))
        nbytes = self._sent + received[2] - received[1]
        self._choice.took(self._call, perf_counter() - self._posted, nbytes)
        return received

    def _uncompressed(self, answer: bytes) -> Received:
        try:
            response = session_pb2.SessionResponse.FromString(answer)
            message = uncompressed(response.compressed, MAX_MESSAGE_BYTES)
        except DecodeError as error:
            self._transport.close()
            raise ProtocolError(f"{self._address} sent a damaged answer: {error}") from error
        if len(message) < LEAST_BYTES:
            return message, 0, len(message)
        return left_to_reader(message), 0, len(message)
