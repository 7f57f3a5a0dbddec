"""One side's end of a shared-memory lane: messages out, messages in, one at a time."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from dataclasses import dataclass

from rlmesh.lanes.bell import LINE_WORDS, Bell, Woken
from rlmesh.lanes.segment import BadSegmentError, create_segment, map_segment

_CONTROL_BYTES = 2 * 8 * LINE_WORDS
# What texts and infos may add to the slabs before a message needs a segment of its own.
_ROOM = 1 << 20
_MAX_BYTES = 1 << 30
# The length of the message, and 1 where it did not fit and stands in a segment of its own.
_HEADER = struct.Struct("<QQ")


class BadFrameError(Exception):
    """A frame that cannot be: the other side is damaged or hostile."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a segment is divided.

    Attributes:
        request: The bytes of the area in which the client writes.
        answer: The bytes of the area in which the server writes.
    """

    request: int
    answer: int

    @classmethod
    def for_slabs(cls, action: int, observation: int) -> Plan:
        """A plan with room for slabs of these sizes, and for what comes with them."""
        return cls(_aligned(action + _ROOM), _aligned(observation + _ROOM))

    @property
    def size(self) -> int:
        """The bytes of the whole segment."""
        return _CONTROL_BYTES + self.request + self.answer


class Port:
    """Sends and receives messages through a segment.

    Args:
        sock: The Unix socket whose other end the other side holds. The port owns it.
        descriptor: The segment. The port owns it.
        plan: How the segment is divided.
        client: Whether this is the client's side.
        also: A descriptor whose readability ends a wait as well; None where there is none.
    """

    def __init__(
        self,
        sock: socket.socket,
        descriptor: int,
        plan: Plan,
        *,
        client: bool,
        also: int | None = None,
    ) -> None:
        try:
            memory = memoryview(map_segment(descriptor, plan.size))
        finally:
            os.close(descriptor)
        words = memory[:_CONTROL_BYTES].cast("Q")
        request = memory[_CONTROL_BYTES : _CONTROL_BYTES + plan.request]
        answer = memory[_CONTROL_BYTES + plan.request :]
        self._out, self._in = (request, answer) if client else (answer, request)
        self._sock = sock
        self._bell = Bell(words, sock, first=client, also=also)
        self._received = 0

    @property
    def owed(self) -> bool:
        """Whether a message was sent that none was received for."""
        return self._bell.posted != self._received

    def send(self, message: bytes) -> None:
        """Sends a message. That the other side has gone, the next `receive` tells."""
        length = len(message)
        end = _HEADER.size + length
        if end <= len(self._out):
            _HEADER.pack_into(self._out, 0, length, 0)
            self._out[_HEADER.size : end] = message
        else:
            self._send_elsewhere(message)
            _HEADER.pack_into(self._out, 0, length, 1)
        self._bell.post()

    def receive(self, deadline: float | None = None) -> bytes | Woken:
        """Waits for the next message.

        Args:
            deadline: On the monotonic clock, in seconds; None: for ever.

        Returns:
            The message, a copy that the other side cannot change, or why there is none.

        Raises:
            BadFrameError: If the frame cannot be.
        """
        woken = self._bell.wait(self._received + 1, deadline)
        if woken is not Woken.POSTED:
            return woken
        self._received += 1
        length, elsewhere = _HEADER.unpack_from(self._in)
        if elsewhere:
            return self._fetch_elsewhere(length)
        if length > len(self._in) - _HEADER.size:
            raise BadFrameError(f"a message of {length} bytes in an area of {len(self._in)}")
        return bytes(self._in[_HEADER.size : _HEADER.size + length])

    def close(self) -> None:
        """Ends the lane; the other side notices at once. Any thread may, repeatedly."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def leave_to_parent(self) -> None:
        """Gives back what a forked process holds of its parent's lane, which goes on."""
        self._sock.close()

    def release(self) -> None:
        """Ends the lane and gives the socket back; only the thread that receives may."""
        self.close()
        self._sock.close()

    def _send_elsewhere(self, message: bytes) -> None:
        descriptor = create_segment(len(message))
        try:
            with open(descriptor, "r+b", closefd=False) as segment:
                segment.write(message)
            with contextlib.suppress(OSError):
                socket.send_fds(self._sock, [b"\0"], [descriptor])
        finally:
            os.close(descriptor)

    def _fetch_elsewhere(self, length: int) -> bytes:
        if not 0 < length <= _MAX_BYTES:
            raise BadFrameError(f"a message of {length} bytes; the limit is {_MAX_BYTES}")
        descriptor = self._bell.take_descriptor()
        if descriptor is None:
            raise BadFrameError("a message elsewhere, and no segment with it")
        try:
            with map_segment(descriptor, length) as segment:
                return segment[:length]
        except BadSegmentError as error:
            raise BadFrameError(f"a message elsewhere in a bad segment: {error}") from error
        finally:
            os.close(descriptor)


def _aligned(size: int) -> int:
    return (size + 63) // 64 * 64
