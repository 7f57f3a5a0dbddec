"""The messages that cross a worker's socket beside the segment."""

from __future__ import annotations

import enum
import select
import socket
import struct
from collections import deque

__all__ = ["Frame", "FrameSocket", "join_parts", "split_parts"]

_HEAD = struct.Struct("<BQ")
_PART = struct.Struct("<Q")
_AT_ONCE = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
_PIECE = 1 << 16


class Frame(enum.IntEnum):
    """The kinds of frames. A ring is a byte alone, which only wakes the other side."""

    RING = 0
    RESET = 1
    """To the worker: seeds, options and mask of its run, pickled. The answer: its reports."""
    CALL = 2
    """To the worker: a name and arguments, pickled. The answer: the results, packed."""
    SET = 3
    """To the worker: a name and its run's values, pickled."""
    MODE = 4
    """To the worker: an autoreset mode."""
    TEXTS = 5
    """To the worker: the texts of a sub-environment's action, packed."""
    CLOSE = 6
    """To the worker: close the sub-environments, and exit."""
    DONE = 7
    """From the worker: the answer to a command."""
    FAILED = 8
    """From the worker: a sub-environment's number and a `Failure`."""
    REPORT = 9
    """From the worker: a sub-environment's number and its report, which its area does not hold."""


class FrameSocket:
    """One side's end of the socket. One thread at a time uses it.

    Args:
        sock: The socket, which this owns.

    Attributes:
        frames: What has come, in order.
        broken: Whether an exception, such as Ctrl-C, has cut a frame in two.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.frames: deque[tuple[int, bytes]] = deque()
        self.broken: bool = False
        self._sock = sock
        self._pending = bytearray()
        self._readable = select.poll()
        self._readable.register(sock, select.POLLIN)

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._sock.fileno()

    def ring(self) -> None:
        """Wakes the other side. If it has gone, the next wait says so."""
        try:
            self._sock.send(b"\0", _AT_ONCE)
        except OSError:
            # A full socket wakes the other side too.
            return

    def send(self, kind: Frame, content: bytes = b"") -> bool:
        """Sends a frame; receives meanwhile, so that two large frames do not wait for each other.

        Returns:
            Whether the other side is still there.
        """
        data = memoryview(_HEAD.pack(kind, len(content)) + content)
        poll = select.poll()
        poll.register(self._sock, select.POLLIN | select.POLLOUT)
        broken, self.broken = self.broken, True
        while data:
            for _, events in poll.poll():
                if events & select.POLLIN and not self.receive():
                    return False
                try:
                    data = data[self._sock.send(data, _AT_ONCE) :]
                except BlockingIOError:
                    continue
                except OSError:
                    return False
        self.broken = broken
        return True

    def receive(self) -> bool:
        """Receives what is there, without waiting; returns whether the other side is there."""
        broken, self.broken = self.broken, True
        try:
            piece = self._sock.recv(_PIECE, socket.MSG_DONTWAIT)
        except BlockingIOError:
            self.broken = broken
            return True
        except OSError:
            return False
        if piece.strip(b"\0") or self._pending:
            self._pending += piece
            self._split()
        self.broken = broken
        return bool(piece)

    def wait(self, seconds: float | None) -> bool:
        """Waits until something comes; returns whether the other side is still there.

        Args:
            seconds: How long to wait at most; None: no limit.
        """
        found = self._readable.poll(None if seconds is None else seconds * 1000)
        return self.receive() if found else True

    def close(self) -> None:
        """Closes the socket. May be called repeatedly."""
        self._sock.close()

    def _split(self) -> None:
        pending = self._pending
        start = 0
        while start < len(pending):
            if pending[start] == Frame.RING:
                start += 1
                continue
            if len(pending) - start < _HEAD.size:
                break
            kind, length = _HEAD.unpack_from(pending, start)
            end = start + _HEAD.size + length
            if len(pending) < end:
                break
            self.frames.append((kind, bytes(pending[start + _HEAD.size : end])))
            start = end
        del pending[:start]


def join_parts(*parts: bytes) -> bytes:
    """Several parts as one, which `split_parts` splits again."""
    return b"".join(piece for part in parts for piece in (_PART.pack(len(part)), part))


def split_parts(data: bytes) -> list[bytes]:
    """The parts that `join_parts` has joined."""
    parts: list[bytes] = []
    start = 0
    while start < len(data):
        end = start + _PART.size + _PART.unpack_from(data, start)[0]
        parts.append(data[start + _PART.size : end])
        start = end
    return parts
