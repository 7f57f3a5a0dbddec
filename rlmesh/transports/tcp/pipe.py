"""A pipe over a socket: one side's end of the transport `direct`, or of one to a worker."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import time
from functools import partial
from typing import TypeAlias

import numpy as np

from rlmesh.codec.slab.protocols import Writable
from rlmesh.limits import MAX_MESSAGE_BYTES
from rlmesh.transports.pipe import RESERVED, BadFrameError, Received, WakeReason
from rlmesh.transports.scratch import Scratch
from rlmesh.transports.spin_policy import SpinPolicy
from rlmesh.transports.tcp.tls_socket import TlsPoller, TlsSocket

LENGTH = struct.Struct("<Q")
"""A frame is the length of the message, then the message."""

_FIRST_BYTES = 1 << 16
# Of a slab's place in the buffer of a large message: NumPy reads aligned numbers.
_ALIGNMENT = 16
# How long the last message may take to leave.
_LEAVING_SECONDS = 1.0
# In milliseconds; see `Doorbell`.
_LONGEST_POLL = 500.0

# Within one machine a small send buffer is faster: what is read is still in the processor's cache.
_LOCAL_SEND_BUFFER = 512 << 10

# Ctrl-C may come between any two instructions of Python. State that must stay consistent is one
# tuple, which is replaced as a whole. How many bytes a system call has moved is appended to a list
# within the same call of C.
_Outbound: TypeAlias = tuple[int, memoryview, list[int]]
"""How many messages were sent, the frame of the last, and how many bytes of it have left."""
_Inbound: TypeAlias = tuple[int, memoryview, list[int], int]
"""How many messages were received, the buffer, how many bytes have arrived there, and how many of
them are the message that was returned last."""


class TcpPipe:
    """Sends and receives messages through a connection; see `Pipe`.

    Sending never waits: what the connection does not take at once leaves while the pipe waits for
    the next message, so that a peer that does not read blocks no thread.

    Args:
        sock: The connection. The pipe owns it.
        head: How many bytes precede the slab in most messages.
    """

    reserved = RESERVED

    def __init__(self, sock: socket.socket | TlsSocket, *, head: int = 0) -> None:
        sock.setblocking(False)
        with contextlib.suppress(OSError):  # a Unix socket has no such option
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if _within_one_machine(sock):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _LOCAL_SEND_BUFFER)
        self._sock = sock
        self._wake_fd: int | None = None
        self._poll: select.poll | TlsPoller = (
            sock.poller() if isinstance(sock, TlsSocket) else select.poll()
        )
        self._poll.register(sock, select.POLLIN)
        self._spin_policy = SpinPolicy()
        # Without a Python frame: it is called in the loop of the spin policy.
        self._look = partial(self._poll.poll, 0)
        self._scratch = Scratch()
        self._outbound: _Outbound = (0, memoryview(b""), [])
        self._lead = -(LENGTH.size + head) % _ALIGNMENT
        self._inbound: _Inbound = (0, self._buffer(0), [], 0)

    @property
    def answer_pending(self) -> bool:
        """Whether a message was sent whose answer was not received."""
        return self._outbound[0] != self._inbound[0]

    def watch(self, wake_fd: int) -> None:
        """Has every later `receive` end also when a descriptor becomes readable; see `Pipe`."""
        self._wake_fd = wake_fd
        self._poll.register(wake_fd, select.POLLIN)

    def reserve(self, nbytes: int, keep: int = 0) -> Writable:
        """A buffer for a message; see `Outbox`."""
        return self._scratch.reserve(nbytes, keep)

    def send(self, message: bytes) -> None:
        """Sends a message. If the other side has gone, the next `receive` says so."""
        end = RESERVED + len(message)
        self.reserve(end)[RESERVED:end] = message
        self.post(RESERVED, end)

    def post(self, start: int, end: int) -> None:
        """Sends the message between two offsets of the last reserved buffer; see `Pipe`."""
        # Stations 4 (client) and 10 (server) of a step (docs/architecture.md): the message leaves.
        begin, view = start - LENGTH.size, self._scratch.view
        LENGTH.pack_into(view, begin, end - start)
        self._outbound = (self._outbound[0] + 1, view[begin:end], [])
        self._push()

    def last(self) -> bytes:
        """The message that was sent last; see `Pipe`."""
        return bytes(self._outbound[1][LENGTH.size :])

    def receive(self, deadline: float | None = None) -> Received | WakeReason:
        """Waits for the next message; see `Pipe`."""
        # Stations 5 (server) and 11 (client) of a step: the wait for the other side.
        self._drop_returned()
        woken: WakeReason | None = None
        while True:
            end = 0 if self._unsent() else self._complete()
            if end:
                count, view, arrived, _ = self._inbound
                self._inbound = (count + 1, view, arrived, end)
                return view, LENGTH.size, end
            if woken is not None:
                return woken
            woken = self._await(deadline)

    def send_out_of_band(self, message: bytes) -> None:
        """Sends a message, within a second or not at all; see `Pipe`.

        It is sent here, as the other thread may meanwhile begin to wait for the next message.
        """
        rest = frame = memoryview(LENGTH.pack(len(message)) + message)
        deadline = time.monotonic() + _LEAVING_SECONDS
        with contextlib.suppress(OSError):
            while rest and _await_writable(self._sock, deadline):
                with contextlib.suppress(BlockingIOError):
                    rest = rest[self._sock.send(rest) :]
        self._outbound = (self._outbound[0] + 1, frame, [len(frame)])
        if rest:
            # The peer would read the next message as the rest of this one.
            self.close()

    def finish(self) -> None:
        """Ends the transport once the last message has left, or a second has passed."""
        deadline = time.monotonic() + _LEAVING_SECONDS
        while self._unsent():
            if not (_await_writable(self._sock, deadline) and self._push()):
                break
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
        self._sock.close()

    def _unsent(self) -> bool:
        _, frame, left = self._outbound
        return sum(left) < len(frame)

    def _buffer(self, nbytes: int) -> memoryview:
        """A buffer for a frame of that many bytes or more.

        A large frame has its own buffer, which the reader of its message may keep. Memory is used
        as bytes arrive, not for what a peer merely announces.
        """
        if nbytes <= _FIRST_BYTES:
            return memoryview(bytearray(_FIRST_BYTES))
        return np.empty(self._lead + nbytes, np.uint8).data[self._lead :]

    def _drop_returned(self) -> None:
        """Drops the message that was returned last from the buffer."""
        count, view, arrived, returned = self._inbound
        if not returned:
            return
        # Nothing, unless the peer did not wait for its answer.
        rest = sum(arrived) - returned
        if rest or len(view) > _FIRST_BYTES:
            fresh = self._buffer(max(rest, returned))
            fresh[:rest] = view[returned : returned + rest]
            view = fresh
        self._inbound = (count, view, [rest], 0)

    def _complete(self) -> int:
        """Where the first complete frame ends; 0 where none is complete."""
        count, view, counts, _ = self._inbound
        arrived = sum(counts)
        if arrived < LENGTH.size:
            return 0
        (length,) = LENGTH.unpack_from(view)
        if length > MAX_MESSAGE_BYTES:
            raise BadFrameError(f"a message of {length} bytes; the limit is {MAX_MESSAGE_BYTES}")
        end: int = LENGTH.size + length
        if arrived >= end:
            return end
        if arrived == len(view):
            try:
                larger = self._buffer(end)
            except MemoryError as error:
                raise BadFrameError(
                    f"there is no memory for a message of {length} bytes"
                ) from error
            larger[:arrived] = view
            self._inbound = (count, larger, [arrived], 0)
        return 0

    def _await(self, deadline: float | None) -> WakeReason | None:
        """Waits until bytes have moved; returns why the wait ended otherwise."""
        found = self._spin_policy.wait(self._inbound[0], self._look, self._sleep, deadline)
        for descriptor, event in found:
            if descriptor == self._wake_fd:
                return WakeReason.CALLED
            if event & select.POLLOUT and not self._push():
                return WakeReason.GONE
            if event & ~select.POLLOUT and not self._pull():
                return WakeReason.GONE
        late = deadline is not None and time.monotonic() >= deadline
        return WakeReason.LATE if late else None

    def _sleep(self, deadline: float | None) -> list[tuple[int, int]]:
        pause = _LONGEST_POLL
        if deadline is not None:
            pause = min(pause, max(0.0, (deadline - time.monotonic()) * 1000))
        return self._poll.poll(pause)

    def _pull(self) -> bool:
        """Reads what has arrived; returns whether the other side is still there."""
        _, view, counts, _ = self._inbound
        try:
            counts.extend(map(self._sock.recv_into, (view[sum(counts) :],)))
        except BlockingIOError:
            return True
        except OSError:
            return False
        return counts[-1] > 0

    def _push(self) -> bool:
        """Sends what the connection takes; returns whether the other side is still there."""
        count, frame, counts = self._outbound
        try:
            counts.extend(map(self._sock.send, (frame[sum(counts) :],)))
        except BlockingIOError:
            pass  # the rest leaves when the connection takes it
        except OSError:
            self._outbound = (count, frame, [len(frame)])
            return False
        events = select.POLLIN | select.POLLOUT if self._unsent() else select.POLLIN
        try:
            self._poll.modify(self._sock, events)
        except ValueError:
            # Another thread has closed the transport; the next `receive` reports that.
            return False
        return True


def _within_one_machine(sock: socket.socket | TlsSocket) -> bool:
    try:
        return bool(sock.getpeername()[:1] == sock.getsockname()[:1])
    except OSError:
        return False  # the peer has gone already


def _await_writable(sock: socket.socket | TlsSocket, deadline: float) -> bool:
    """Waits until the connection takes more; returns whether it does before the deadline."""
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        return False
    writable = select.poll()
    writable.register(sock, select.POLLOUT)
    return bool(writable.poll(remaining * 1000))
