"""A pipe of shared memory: one side's end of the transport `shm`."""

from __future__ import annotations

import contextlib
import mmap
import os
import select
import socket
import struct
from dataclasses import dataclass

from rlmesh.codec.slab.protocols import Writable
from rlmesh.limits import MAX_MESSAGE_BYTES
from rlmesh.transports.pipe import POSTED, RESERVED, BadFrameError, Received, WakeReason
from rlmesh.transports.shm.doorbell import LINE, Doorbell
from rlmesh.transports.shm.segment import BadSegmentError, create_segment, map_segment

# Areas begin at pages, as each is mapped by itself.
_PAGE = mmap.ALLOCATIONGRANULARITY
_CONTROL_BYTES = _PAGE
# What texts and infos may add to the slabs before a message needs a segment of its own.
_ROOM = 1 << 20
# Where the message begins and ends, and how large the segment of its own is in which it stands; 0
# where it stands in the area.
_HEADER = struct.Struct("<QQQ")
# How long the other side may take to hear what fills the socket.
_HEARING_SECONDS = 1.0
_DESCRIPTOR = socket.SOL_SOCKET, socket.SCM_RIGHTS
_AT_ONCE = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
_pack_header, _unpack_header = _HEADER.pack_into, _HEADER.unpack_from


@dataclass(frozen=True, slots=True)
class SegmentLayout:
    """How a segment is divided.

    Attributes:
        request: The bytes of the area in which the client writes.
        answer: The bytes of the area in which the server writes.
    """

    request: int
    answer: int

    @classmethod
    def for_slabs(cls, action: int, observation: int) -> SegmentLayout:
        """A plan with room for slabs of these sizes, and for what comes with them."""
        return cls(_aligned(action + _ROOM), _aligned(observation + _ROOM))

    @property
    def size(self) -> int:
        """The bytes of the whole segment."""
        return _CONTROL_BYTES + self.request + self.answer


class ShmPipe:
    """Sends and receives messages through a segment; see `Pipe`.

    Args:
        sock: The Unix socket whose other end the other side holds. The pipe owns it.
        descriptor: The segment. The pipe owns it.
        plan: How the segment is divided.
        client: Whether this is the client's side.
    """

    reserved = RESERVED

    def __init__(
        self,
        sock: socket.socket,
        descriptor: int,
        plan: SegmentLayout,
        *,
        client: bool,
    ) -> None:
        try:
            if min(plan.request, plan.answer) < RESERVED:
                raise BadSegmentError(f"no header has room in {plan}")
            lines = map_segment(descriptor, _CONTROL_BYTES)
            request = map_segment(descriptor, plan.request, _CONTROL_BYTES)
            answer = map_segment(descriptor, plan.answer, _CONTROL_BYTES + plan.request)
        finally:
            os.close(descriptor)
        # Maps, not views of them: Python reads and writes these in half of the time.
        self._out, self._in = (request, answer) if client else (answer, request)
        self._sock = sock
        self._lines, self._mine = lines, 0 if client else LINE
        self._doorbell = Doorbell(lines, sock, first=client)
        self._ring, self._wait = self._doorbell.post, self._doorbell.wait
        self._received = 0
        self._elsewhere: tuple[int, mmap.mmap] | None = None
        self._sent_elsewhere: bytes | mmap.mmap = b""

    @property
    def answer_pending(self) -> bool:
        """Whether a message was sent that none was received for."""
        return self._lines[self._mine] != self._received

    def watch(self, wake_fd: int) -> None:
        """Has every later `receive` end also when a descriptor becomes readable; see `Pipe`."""
        self._doorbell.watch(wake_fd)

    def reserve(self, nbytes: int, keep: int = 0) -> Writable:
        """A buffer for a message; see `Outbox`."""
        last = self._out
        if self._elsewhere is not None:
            if keep:
                last = self._elsewhere[1]
            else:
                self._leave_elsewhere()
        if nbytes <= len(last):
            return last
        # Twice as much as was asked for last, for a message that grows from step to step; never
        # more than the other side takes, unless the message needs it.
        size = max(nbytes, min(2 * len(last), MAX_MESSAGE_BYTES) if keep else 0)
        descriptor = create_segment(size)
        try:
            view = map_segment(descriptor, size)
            view[:keep] = last[:keep]
        except BaseException:
            os.close(descriptor)
            raise
        self._leave_elsewhere()
        self._elsewhere = descriptor, view
        return view

    def send(self, message: bytes) -> None:
        """Sends a message. That the other side has gone, the next `receive` tells."""
        end = RESERVED + len(message)
        if end > len(self._out):
            self.reserve(end)[RESERVED:end] = message
            self.post(RESERVED, end)
            return
        out = self._out
        out[RESERVED:end] = message
        _pack_header(out, 0, RESERVED, end, 0)
        self._ring()

    def post(self, start: int, end: int) -> None:
        """Sends the message that stands between these places in the last `room`."""
        if self._elsewhere is not None:
            self._post_elsewhere(start, end, *self._elsewhere)
        else:
            self._sent_elsewhere = b""
            _pack_header(self._out, 0, start, end, 0)
        self._ring()

    def last(self) -> bytes:
        """The message that was sent last; see `Pipe`."""
        start, end, elsewhere = _unpack_header(self._out)
        return bytes((self._sent_elsewhere if elsewhere else self._out)[start:end])

    def receive(self, deadline: float | None = None) -> Received | WakeReason:
        """Waits for the next message; see `Pipe`."""
        count = (self._received + 1) & 0xFF
        woken = self._wait(count, deadline)
        if woken is not POSTED:
            return woken
        self._received = count
        start, end, elsewhere = _unpack_header(self._in)
        buffer = self._in if not elsewhere else self._fetch_elsewhere(elsewhere)
        if not RESERVED <= start <= end <= len(buffer):
            raise BadFrameError(f"a message from {start} to {end} in {len(buffer)} bytes")
        return buffer, start, end

    def send_out_of_band(self, message: bytes) -> None:
        """Sends a message, in a segment of its own; see `Pipe`."""
        end = RESERVED + len(message)
        descriptor = create_segment(end)
        try:
            view = map_segment(descriptor, end)
            view[RESERVED:end] = message
            self._sent_elsewhere = view
            self._announce(RESERVED, end, descriptor, end)
        finally:
            os.close(descriptor)
        self._ring()

    def finish(self) -> None:
        """Ends the transport; the last message stands where the other side still reads it."""
        self.close()

    def close(self) -> None:
        """Ends the transport; the other side notices at once. Any thread may, repeatedly."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def leave_to_parent(self) -> None:
        """Gives back what a forked process holds of its parent's transport, which goes on."""
        self._sock.close()

    def release(self) -> None:
        """Ends the transport and gives the socket back; only the thread that receives may."""
        self.close()
        self._sock.close()
        self._doorbell.close()
        self._leave_elsewhere()

    def _post_elsewhere(self, start: int, end: int, descriptor: int, view: mmap.mmap) -> None:
        self._announce(start, end, descriptor, len(view))
        self._sent_elsewhere = view
        self._leave_elsewhere()

    def _announce(self, start: int, end: int, descriptor: int, size: int) -> None:
        """Tells the other side of a message in a segment of its own; the caller closes that."""
        with contextlib.suppress(OSError):
            # Rings that the other side has not heard may fill the socket. It hears them while it
            # waits for this message; one that does not is not waited for.
            hearing = select.poll()
            hearing.register(self._sock, select.POLLOUT)
            hearing.poll(_HEARING_SECONDS * 1000)
            # Not by `socket.send_fds`, which drops its flags in Python 3.11.
            self._sock.sendmsg([b"\0"], [(*_DESCRIPTOR, struct.pack("i", descriptor))], _AT_ONCE)
        _pack_header(self._out, 0, start, end, size)

    def _leave_elsewhere(self) -> None:
        if self._elsewhere is not None:
            os.close(self._elsewhere[0])
            self._elsewhere = None

    def _fetch_elsewhere(self, size: int) -> mmap.mmap:
        if size > MAX_MESSAGE_BYTES:
            raise BadFrameError(f"a message of {size} bytes; the limit is {MAX_MESSAGE_BYTES}")
        descriptor = self._doorbell.take_descriptor()
        if descriptor is None:
            raise BadFrameError("a message elsewhere, and no segment with it")
        try:
            return map_segment(descriptor, size)
        except BadSegmentError as error:
            raise BadFrameError(f"a message elsewhere in a bad segment: {error}") from error
        finally:
            os.close(descriptor)


def _aligned(size: int) -> int:
    return -(-size // _PAGE) * _PAGE
