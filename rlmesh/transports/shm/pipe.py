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
from rlmesh.transports.shm.doorbell import LINE, ORDERED, Doorbell
from rlmesh.transports.shm.segment import BadSegmentError, create_segment, map_segment
from rlmesh.transports.shm.segment_end import HEADER, LOOKS, make_segment_end
from rlmesh.transports.spin_policy import LOOKS_AROUND

# Areas begin at pages, as each is mapped separately.
_PAGE = mmap.ALLOCATIONGRANULARITY
_CONTROL_BYTES = _PAGE
# What texts and infos may add to the slabs before a message needs its own segment.
_EXTRA_BYTES = 1 << 20
# How long the other side may take to read the rings that fill the socket.
_DRAIN_SECONDS = 1.0
_DESCRIPTOR = socket.SOL_SOCKET, socket.SCM_RIGHTS
_AT_ONCE = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
_pack_header, _unpack_header = HEADER.pack_into, HEADER.unpack_from


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
        """A layout for slabs of these sizes and the rest of their messages."""
        return cls(_aligned(action + _EXTRA_BYTES), _aligned(observation + _EXTRA_BYTES))

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
                raise BadSegmentError(f"no header fits into {plan}")
            lines = map_segment(descriptor, _CONTROL_BYTES)
            request = map_segment(descriptor, plan.request, _CONTROL_BYTES)
            answer = map_segment(descriptor, plan.answer, _CONTROL_BYTES + plan.request)
        finally:
            os.close(descriptor)
        # The maps themselves, not views of them: access takes half the time.
        self._out, self._in = (request, answer) if client else (answer, request)
        self._sock = sock
        self._lines, self._mine = lines, 0 if client else LINE
        end = make_segment_end(lines, self._out, self._in, self._mine, LINE - self._mine)
        self._send, self._post, self._look = end.send, end.post, end.receive
        doorbell = self._doorbell = Doorbell(end, sock)
        self._ring, self._wait, self._spin_policy = doorbell.ring, doorbell.wait, doorbell.policy
        # Whether a post rings although the other side does not sleep.
        self._rings = not ORDERED
        self._received = 0
        self._elsewhere: tuple[int, mmap.mmap] | None = None
        self._sent_elsewhere: bytes | mmap.mmap = b""

    @property
    def answer_pending(self) -> bool:
        """Whether a message was sent whose answer was not received."""
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
        # A message that grows gets twice the size of its last buffer, but no more than the other
        # side takes, unless the message needs it.
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
        """Sends a message. If the other side has gone, the next `receive` says so."""
        end = RESERVED + len(message)
        if end > len(self._out):
            self.reserve(end)[RESERVED:end] = message
            self.post(RESERVED, end)
            return
        # Station 4 of a step (docs/architecture.md): the request is written into the segment.
        if self._send(message) or self._rings:
            self._ring()

    def post(self, start: int, end: int) -> None:
        """Sends the message between two offsets of the last reserved buffer; see `Pipe`."""
        # Station 10 of a step: the answer is written already; its offsets follow.
        if self._elsewhere is not None:
            self._post_elsewhere(start, end, *self._elsewhere)
            return
        self._sent_elsewhere = b""
        if self._post(start, end) or self._rings:
            self._ring()

    def last(self) -> bytes:
        """The message that was sent last; see `Pipe`."""
        start, end, elsewhere = _unpack_header(self._out)
        return bytes((self._sent_elsewhere if elsewhere else self._out)[start:end])

    def receive(self, deadline: float | None = None) -> Received | WakeReason:
        """Waits for the next message; see `Pipe`."""
        # Station 5 (server) and station 11 (client) of a step: the wait for the other side.
        count = (self._received + 1) & 0xFF
        policy = self._spin_policy
        if policy.eager and not policy.shared and not policy.crowd and count & LOOKS_AROUND:
            # Most messages come here. These looks are those of the policy without its calls.
            received = self._look(count, LOOKS)
            if received is not None:
                if policy.misses:
                    policy.misses -= 1
                self._received = count
                return received
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
        """Sends a message in its own segment; see `Pipe`."""
        end = RESERVED + len(message)
        descriptor = create_segment(end)
        try:
            view = map_segment(descriptor, end)
            view[RESERVED:end] = message
            self._sent_elsewhere = view
            self._announce(RESERVED, end, descriptor, end)
        finally:
            os.close(descriptor)

    def finish(self) -> None:
        """Ends the transport; the other side can still read the last message from the segment."""
        self.close()

    def close(self) -> None:
        """Ends the transport; the other side notices at once. For any thread, repeatedly."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def leave_to_parent(self) -> None:
        """Closes what a forked process has inherited of the transport; the parent's goes on."""
        self._sock.close()

    def release(self) -> None:
        """Ends the transport and closes the socket; only for the thread that receives."""
        self.close()
        self._leave()

    def _leave(self) -> None:
        """Frees what this process holds of the transport."""
        self._sock.close()
        self._doorbell.close()
        self._leave_elsewhere()

    def _post_elsewhere(self, start: int, end: int, descriptor: int, view: mmap.mmap) -> None:
        self._announce(start, end, descriptor, len(view))
        self._sent_elsewhere = view
        self._leave_elsewhere()

    def _announce(self, start: int, end: int, descriptor: int, size: int) -> None:
        """Sends the descriptor of a message's own segment; the caller closes it."""
        with contextlib.suppress(OSError):
            # Rings that the other side has not read may fill the socket. It reads them while it
            # waits for this message; a peer that does not is given up after a second.
            writable = select.poll()
            writable.register(self._sock, select.POLLOUT)
            writable.poll(_DRAIN_SECONDS * 1000)
            # Not by `socket.send_fds`, which drops its flags in Python 3.11.
            self._sock.sendmsg([b"\0"], [(*_DESCRIPTOR, struct.pack("i", descriptor))], _AT_ONCE)
        _pack_header(self._out, 0, start, end, size)
        self._doorbell.post()

    def _leave_elsewhere(self) -> None:
        if self._elsewhere is not None:
            os.close(self._elsewhere[0])
            self._elsewhere = None

    def _fetch_elsewhere(self, size: int) -> mmap.mmap:
        if size > MAX_MESSAGE_BYTES:
            raise BadFrameError(f"a message of {size} bytes; the limit is {MAX_MESSAGE_BYTES}")
        descriptor = self._doorbell.take_descriptor()
        if descriptor is None:
            raise BadFrameError("a message in its own segment, and no segment with it")
        try:
            return map_segment(descriptor, size)
        except BadSegmentError as error:
            raise BadFrameError(f"a message in its own segment, which is bad: {error}") from error
        finally:
            os.close(descriptor)


def _aligned(size: int) -> int:
    return -(-size // _PAGE) * _PAGE
