"""A pipe of a connection: one side's end of the transport `direct`, or of one to a worker."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import time
from time import perf_counter
from typing import TypeAlias

import numpy as np

from rlmesh.codec.slab.protocols import Writable
from rlmesh.limits import MAX_MESSAGE_BYTES
from rlmesh.transports.pipe import RESERVED, BadFrameError, Received, WakeReason
from rlmesh.transports.scratch import Scratch
from rlmesh.transports.spin_policy import LOOKS_AROUND, OFFERS, SpinPolicy
from rlmesh.transports.tcp.tls_socket import TlsPoller, TlsSocket

# A frame is the length of the message, then the message.
_LENGTH = struct.Struct("<Q")
_FIRST_ROOM = 1 << 16
# Of a slab's place in the buffer of a large message: NumPy reads aligned numbers.
_ALIGNMENT = 16
# How long the last message may take to leave.
_LEAVING_SECONDS = 1.0
# In milliseconds; see `Doorbell`.
_LONGEST_POLL = 500.0

# One look takes half a microsecond. After so many the clock is looked at.
_LOOKS = 20
# Within a machine there is nothing to bridge: the less is on its way, the more of it is still in
# the processor's cache when it is read.
_NEARBY_BYTES = 512 << 10

# Ctrl-C may come between any two steps of Python. What it must not tear apart stands in one tuple,
# which is replaced as a whole; how many bytes a call of the system has moved is noted in a list
# by the same call of C.
_Outbound: TypeAlias = tuple[int, memoryview, list[int]]
"""How many messages were sent, the frame of the last, and how many bytes of it have left."""
_Inbound: TypeAlias = tuple[int, memoryview, list[int], int]
"""How many messages were received, the buffer, how many bytes have arrived there, and how many of
them are the message that was returned last."""


class TcpPipe:
    """Sends and receives messages through a connection; see `Pipe`.

    Sending never waits: what the connection does not take at once leaves while the pipe waits for
    the next message, so that a peer that does not read stops nobody.

    Args:
        sock: The connection. The pipe owns it.
        head: How many bytes of most messages stand before their slab.
    """

    reserved = RESERVED

    def __init__(self, sock: socket.socket | TlsSocket, *, head: int = 0) -> None:
        sock.setblocking(False)
        with contextlib.suppress(OSError):  # a Unix socket delays nothing, and has no such option
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if _within_one_machine(sock):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _NEARBY_BYTES)
        self._sock = sock
        self._wake_fd: int | None = None
        self._poll: select.poll | TlsPoller = (
            sock.poller() if isinstance(sock, TlsSocket) else select.poll()
        )
        self._poll.register(sock, select.POLLIN)
        self._spin_policy = SpinPolicy()
        self._scratch = Scratch()
        self._outbound: _Outbound = (0, memoryview(b""), [])
        self._lead = -(_LENGTH.size + head) % _ALIGNMENT
        self._inbound: _Inbound = (0, self._buffer(0), [], 0)

    @property
    def answer_pending(self) -> bool:
        """Whether a message was sent that none was received for."""
        return self._outbound[0] != self._inbound[0]

    def watch(self, wake_fd: int) -> None:
        """Has every later `receive` end also when a descriptor becomes readable; see `Pipe`."""
        self._wake_fd = wake_fd
        self._poll.register(wake_fd, select.POLLIN)

    def reserve(self, nbytes: int, keep: int = 0) -> Writable:
        """A buffer for a message; see `Outbox`."""
        return self._scratch.reserve(nbytes, keep)

    def send(self, message: bytes) -> None:
        """Sends a message. That the other side has gone, the next `receive` tells."""
        end = RESERVED + len(message)
        self.reserve(end)[RESERVED:end] = message
        self.post(RESERVED, end)

    def post(self, start: int, end: int) -> None:
        """Sends the message that stands between these places in the last `room`."""
        begin, view = start - _LENGTH.size, self._scratch.view
        _LENGTH.pack_into(view, begin, end - start)
        self._outbound = (self._outbound[0] + 1, view[begin:end], [])
        self._push()

    def last(self) -> bytes:
        """The message that was sent last; see `Pipe`."""
        return bytes(self._outbound[1][_LENGTH.size :])

    def receive(self, deadline: float | None = None) -> Received | WakeReason:
        """Waits for the next message; see `Pipe`."""
        self._drop_returned()
        woken: WakeReason | None = None
        while True:
            end = 0 if self._unsent() else self._complete()
            if end:
                count, view, arrived, _ = self._inbound
                self._inbound = (count + 1, view, arrived, end)
                return view, _LENGTH.size, end
            if woken is not None:
                return woken
            woken = self._await(deadline)

    def send_out_of_band(self, message: bytes) -> None:
        """Sends a message, within a second or not at all; see `Pipe`.

        It leaves from here, as the other thread may meanwhile begin to wait for the next one.
        """
        rest = frame = memoryview(_LENGTH.pack(len(message)) + message)
        deadline = time.monotonic() + _LEAVING_SECONDS
        with contextlib.suppress(OSError):
            while rest and _await_room(self._sock, deadline):
                with contextlib.suppress(BlockingIOError):
                    rest = rest[self._sock.send(rest) :]
        self._outbound = (self._outbound[0] + 1, frame, [len(frame)])
        if rest:
            # The peer must not take what comes next for the end of this.
            self.close()

    def finish(self) -> None:
        """Ends the transport once the last message has left, or a second has passed."""
        deadline = time.monotonic() + _LEAVING_SECONDS
        while self._unsent():
            if not (_await_room(self._sock, deadline) and self._push()):
                break
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

    def _unsent(self) -> bool:
        _, frame, left = self._outbound
        return sum(left) < len(frame)

    def _buffer(self, nbytes: int) -> memoryview:
        """A buffer for a frame of that many bytes or more.

        A large frame has its own, which is left to the reader of its message. It takes memory as
        bytes arrive: what a peer merely announces takes none.
        """
        if nbytes <= _FIRST_ROOM:
            return memoryview(bytearray(_FIRST_ROOM))
        return np.empty(self._lead + nbytes, np.uint8).data[self._lead :]

    def _drop_returned(self) -> None:
        """Makes room for the message after the one that was returned last."""
        count, view, arrived, returned = self._inbound
        if not returned:
            return
        # Nothing, unless the peer did not wait for its answer.
        rest = sum(arrived) - returned
        if rest or len(view) > _FIRST_ROOM:
            fresh = self._buffer(max(rest, returned))
            fresh[:rest] = view[returned : returned + rest]
            view = fresh
        self._inbound = (count, view, [rest], 0)

    def _complete(self) -> int:
        """Where the frame ends that has arrived as a whole; 0 where none has."""
        count, view, counts, _ = self._inbound
        arrived = sum(counts)
        if arrived < _LENGTH.size:
            return 0
        (length,) = _LENGTH.unpack_from(view)
        if length > MAX_MESSAGE_BYTES:
            raise BadFrameError(f"a message of {length} bytes; the limit is {MAX_MESSAGE_BYTES}")
        end: int = _LENGTH.size + length
        if arrived >= end:
            return end
        if arrived == len(view):
            try:
                larger = self._buffer(end)
            except MemoryError as error:
                raise BadFrameError(f"there is no room for a message of {length} bytes") from error
            larger[:arrived] = view
            self._inbound = (count, larger, [arrived], 0)
        return 0

    def _await(self, deadline: float | None) -> WakeReason | None:
        """Waits until something has moved; why not, if nothing has."""
        for descriptor, event in self._events(deadline):
            if descriptor == self._wake_fd:
                return WakeReason.CALLED
            if event & select.POLLOUT and not self._push():
                return WakeReason.GONE
            if event & ~select.POLLOUT and not self._pull():
                return WakeReason.GONE
        late = deadline is not None and time.monotonic() >= deadline
        return WakeReason.LATE if late else None

    def _events(self, deadline: float | None) -> list[tuple[int, int]]:
        """What has happened, waited for as `SpinPolicy` has it; nothing at the deadline."""
        patience, poll = self._spin_policy, self._poll.poll
        if patience.shared:
            return self._sleep(deadline)
        began = perf_counter()
        if not patience.eager:
            found = self._sleep(deadline)
            if found:
                patience.slept(perf_counter() - began)
            return found
        if (patience.crowd or not self._inbound[0] & LOOKS_AROUND) and patience.in_crowd():
            for _ in range(OFFERS):
                os.sched_yield()
                if found := poll(0):
                    return found
            return self._sleep(deadline)
        if found := self._spin(began):
            if patience.misses:
                patience.misses -= 1
            return found
        found = self._sleep(deadline)
        patience.missed(perf_counter() - began)
        return found

    def _spin(self, began: float) -> list[tuple[int, int]]:
        poll, span = self._poll.poll, self._spin_policy.span
        while perf_counter() - began < span:
            for _ in range(_LOOKS):
                if found := poll(0):
                    return found
        return []

    def _sleep(self, deadline: float | None) -> list[tuple[int, int]]:
        pause = _LONGEST_POLL
        if deadline is not None:
            pause = min(pause, max(0.0, (deadline - time.monotonic()) * 1000))
        return self._poll.poll(pause)

    def _pull(self) -> bool:
        """Takes what has arrived; whether the other side is still there."""
        _, view, counts, _ = self._inbound
        try:
            counts.extend(map(self._sock.recv_into, (view[sum(counts) :],)))
        except BlockingIOError:
            return True
        except OSError:
            return False
        return counts[-1] > 0

    def _push(self) -> bool:
        """Sends what the connection takes; whether the other side is still there."""
        count, frame, counts = self._outbound
        try:
            counts.extend(map(self._sock.send, (frame[sum(counts) :],)))
        except BlockingIOError:
            pass  # the rest leaves when there is room for it
        except OSError:
            self._outbound = (count, frame, [len(frame)])
            return False
        events = select.POLLIN | select.POLLOUT if self._unsent() else select.POLLIN
        try:
            self._poll.modify(self._sock, events)
        except ValueError:
            # Another thread has closed the transport; the next `receive` tells.
            return False
        return True


def _within_one_machine(sock: socket.socket | TlsSocket) -> bool:
    try:
        return bool(sock.getpeername()[:1] == sock.getsockname()[:1])
    except OSError:
        return False  # it has gone already


def _await_room(sock: socket.socket | TlsSocket, deadline: float) -> bool:
    """Waits until the connection takes more; whether it does, before the deadline."""
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        return False
    leaving = select.poll()
    leaving.register(sock, select.POLLOUT)
    return bool(leaving.poll(remaining * 1000))
