"""One side's end of a shared-memory lane: frames out, frames in, one at a time."""

from __future__ import annotations

import contextlib
import os
import socket
from dataclasses import dataclass

from rlmesh.lanes.bell import LINE_WORDS, Bell, Woken
from rlmesh.lanes.frame import HEADER, Header
from rlmesh.lanes.segment import BadSegmentError, create_segment, map_segment

_CONTROL_BYTES = 2 * 8 * LINE_WORDS
# What texts, infos and messages may add to the slabs before a frame needs a segment of its own.
_ROOM = 1 << 20
MAX_BODY_BYTES = 1 << 30


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
    def for_slabs(cls, action: int, result: int) -> Plan:
        """A plan with room for slabs of these sizes, and for what comes with them."""
        return cls(_aligned(HEADER.size + action + _ROOM), _aligned(HEADER.size + result + _ROOM))

    @property
    def size(self) -> int:
        """The bytes of the whole segment."""
        return _CONTROL_BYTES + self.request + self.answer


class Port:
    """Sends and receives frames through a segment.

    Args:
        sock: The Unix socket whose other end the other side holds. The port owns it.
        descriptor: The segment. The port owns it.
        plan: How the segment is divided.
        client: Whether this is the client's side.
        also: A descriptor whose readability ends a wait as well.

    Attributes:
        out: Where the next frame's body is written, if it fits.
        body: Where the body of the frame received last stands, valid until the next `send`.
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
        self._send_area, self._receive_area = (request, answer) if client else (answer, request)
        self.out = self._send_area[HEADER.size :]
        self._near = self._receive_area[HEADER.size :]
        self.body: memoryview = self._near
        self._sock = sock
        self._bell = Bell(words, sock, first=client, also=also)
        self._sent = self._received = 0

    def send(
        self,
        kind: int,
        sequence: int,
        body: int | bytes,
        slab: int = 0,
        flags: int = 0,
        reward: float = 0.0,
    ) -> None:
        """Sends a frame.

        Args:
            kind: As in the header.
            sequence: As in the header.
            body: How many bytes of the body stand in `out` already, or the body itself.
            slab: As in the header.
            flags: As in the header.
            reward: As in the header.
        """
        elsewhere = 0
        if not isinstance(body, int):
            length = len(body)
            if length <= len(self.out):
                self.out[:length] = body
            else:
                self._send_elsewhere(body)
                elsewhere = 1
            body = length
        HEADER.pack_into(self._send_area, 0, kind, flags, elsewhere, sequence, body, slab, reward)
        self._sent += 1
        self._bell.post(self._sent)

    def receive(self, deadline: float | None = None) -> Header | Woken:
        """Waits for the next frame; its body stands in `body`.

        Args:
            deadline: On the monotonic clock, in seconds; None: for ever.

        Returns:
            The frame's header, or why there is none.

        Raises:
            BadFrameError: If the frame cannot be.
        """
        woken = self._bell.wait(self._received + 1, deadline)
        if woken is not Woken.POSTED:
            return woken
        self._received += 1
        header = Header._make(HEADER.unpack_from(self._receive_area))
        if header.elsewhere:
            self.body = self._fetch_elsewhere(header.body)
        else:
            self.body = self._near
        if header.body > len(self.body) or header.slab > header.body:
            raise BadFrameError(f"a frame of {header.body} bytes with a slab of {header.slab}")
        return header

    def close(self) -> None:
        """Ends the lane; the other side notices at once. May be called repeatedly."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def release(self) -> None:
        """Gives socket and memory back; only the thread that sends and receives may."""
        self.close()
        self._sock.close()

    def _send_elsewhere(self, body: bytes) -> None:
        descriptor = create_segment(len(body))
        try:
            with open(descriptor, "r+b", closefd=False) as segment:
                segment.write(body)
            with contextlib.suppress(OSError):
                # The other side has gone if this fails; the next wait tells.
                socket.send_fds(self._sock, [b"\0"], [descriptor])
        finally:
            os.close(descriptor)

    def _fetch_elsewhere(self, size: int) -> memoryview:
        if not 0 < size <= MAX_BODY_BYTES:
            raise BadFrameError(f"a body of {size} bytes; the limit is {MAX_BODY_BYTES}")
        descriptor = self._bell.take_descriptor()
        if descriptor is None:
            raise BadFrameError("a body elsewhere, and no segment with it")
        try:
            return memoryview(map_segment(descriptor, size))
        except BadSegmentError as error:
            raise BadFrameError(f"a body elsewhere in a bad segment: {error}") from error
        finally:
            os.close(descriptor)


def _aligned(size: int) -> int:
    return (size + 63) // 64 * 64
