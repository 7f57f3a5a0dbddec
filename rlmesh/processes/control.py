"""The control channel: messages of a server and its worker that are no calls."""

from __future__ import annotations

import enum
import socket
import struct
from collections.abc import Iterator

from rlmesh.limits import MAX_MESSAGE_BYTES

_HEAD = struct.Struct("<cQ")


class BadControlError(Exception):
    """A control message that no correct worker sends."""


class ControlMessage(enum.Enum):
    """The kinds of control messages."""

    SPEC = b"o"
    """To the worker: what to make, pickled."""
    CONTRACT = b"c"
    """From the worker: the environment is there; its contract, as protobuf."""
    FAILURE = b"f"
    """From the worker: there is no environment, and why; a `Failure`, as protobuf."""
    STATUS_REQUEST = b"a"
    """To the worker: a request for its status; a number to repeat."""
    STATUS = b"t"
    """From the worker: that number, and a `SessionStatus`, as protobuf."""


_KINDS = frozenset(kind.value for kind in ControlMessage)


def write_message(kind: ControlMessage, content: bytes) -> bytes:
    """A control message as bytes."""
    return _HEAD.pack(kind.value, len(content)) + content


def read_message(sock: socket.socket) -> tuple[ControlMessage, bytes] | None:
    """Waits for the next control message; None if the other side has gone."""
    head = _receive(sock, _HEAD.size)
    if head is None:
        return None
    kind, length = _HEAD.unpack(head)
    content = _receive(sock, length)
    return None if content is None else (ControlMessage(kind), content)


def _receive(sock: socket.socket, nbytes: int) -> bytes | None:
    content = bytearray()
    while len(content) < nbytes:
        try:
            part = sock.recv(min(nbytes - len(content), 1 << 20))
        except OSError:
            return None
        if not part:
            return None
        content += part
    return bytes(content)


class ControlChannel:
    """Control messages that arrive in pieces."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, piece: bytes) -> Iterator[tuple[ControlMessage, bytes]]:
        """The control messages that a piece completes.

        Raises:
            BadControlError: If no correct worker sends such a message.
        """
        pending = self._pending
        pending += piece
        while len(pending) >= _HEAD.size:
            kind, length = _HEAD.unpack_from(pending)
            if kind not in _KINDS or length > MAX_MESSAGE_BYTES:
                raise BadControlError(f"a control message {kind!r} of {length} bytes")
            end = _HEAD.size + length
            if len(pending) < end:
                return
            content = bytes(pending[_HEAD.size : end])
            del pending[:end]
            yield ControlMessage(kind), content
