"""A port of a TCP connection: one side's end of the lane `direct`."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import time

from rlmesh.lanes.port import MAX_BYTES, RESERVED, BadFrameError, Received, Room, Woken
from rlmesh.lanes.scratch import Scratch

# A frame is the length of the message, then the message.
_LENGTH = struct.Struct("<Q")
_FIRST_ROOM = 1 << 16
# What a peer merely announces takes no memory: a room grows with what arrives.
_GROWTH = 1 << 24
# How long the last message may take to leave.
_LEAVING_SECONDS = 1.0
# In milliseconds; see `Bell`.
_LONGEST_POLL = 500.0


class SocketPort:
    """Sends and receives messages through a connection; see `Port`.

    Sending never waits: what the connection does not take at once leaves while the port waits for
    the next message, so that a peer that does not read stops nobody.

    Args:
        sock: The connection. The port owns it.
        also: A descriptor whose readability ends a wait as well; None where there is none.
    """

    reserved = RESERVED

    def __init__(self, sock: socket.socket, *, also: int | None = None) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock = sock
        self._also = also
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)
        if also is not None:
            self._poll.register(also, select.POLLIN)
        self._scratch = Scratch()
        self._in = memoryview(bytearray(_FIRST_ROOM))
        # What has arrived of the next frames.
        self._arrived = 0
        self._taken = 0
        self._unsent = memoryview(b"")

    def room(self, nbytes: int, keep: int = 0) -> Room:
        """A buffer for a message; see `Outbox`."""
        return self._scratch.room(nbytes, keep)

    def send(self, message: bytes) -> None:
        """Sends a message. That the other side has gone, the next `receive` tells."""
        end = RESERVED + len(message)
        self.room(end)[RESERVED:end] = message
        self.post(RESERVED, end)

    def post(self, start: int, end: int) -> None:
        """Sends the message that stands between these places in the last `room`."""
        begin = start - _LENGTH.size
        view = self._scratch.view
        _LENGTH.pack_into(view, begin, end - start)
        self._unsent = view[begin:end]
        self._push()

    def receive(self, deadline: float | None = None) -> Received | Woken:
        """Waits for the next message; see `Port`."""
        if self._taken:
            # What follows the last message; nothing, unless the peer did not wait for its answer.
            rest = self._arrived - self._taken
            self._in[:rest] = bytes(self._in[self._taken : self._arrived])
            self._arrived, self._taken = rest, 0
        while not (self._complete() and not self._unsent):
            woken = self._await(deadline)
            if woken is not None:
                return woken
        return self._in, _LENGTH.size, self._taken

    def divert(self) -> None:
        """Has later rooms lead nowhere, for a thread that writes an answer too late."""
        self._scratch = Scratch()

    def finish(self) -> None:
        """Ends the lane once the last message has left, or a second has passed."""
        deadline = time.monotonic() + _LEAVING_SECONDS
        while self._unsent and (remaining := deadline - time.monotonic()) > 0:
            ready = select.select([], [self._sock], [], remaining)[1]
            if not (ready and self._push()):
                break
        self.close()

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

    def _complete(self) -> bool:
        """Whether a whole frame has arrived; `_taken` is where it ends then."""
        if self._arrived < _LENGTH.size:
            return False
        (length,) = _LENGTH.unpack_from(self._in)
        if length > MAX_BYTES:
            raise BadFrameError(f"a message of {length} bytes; the limit is {MAX_BYTES}")
        end = _LENGTH.size + length
        if self._arrived >= end:
            self._taken = end
            return True
        if self._arrived == len(self._in):
            larger = memoryview(bytearray(min(end, len(self._in) + _GROWTH)))
            larger[: self._arrived] = self._in
            self._in = larger
        return False

    def _await(self, deadline: float | None) -> Woken | None:
        """Waits until something has moved; why not, if nothing has."""
        pause = _LONGEST_POLL
        if deadline is not None:
            pause = min(pause, max(0.0, (deadline - time.monotonic()) * 1000))
        events = self._poll.poll(pause)
        if not events:
            late = deadline is not None and time.monotonic() >= deadline
            return Woken.LATE if late else None
        for descriptor, event in events:
            if descriptor == self._also:
                return Woken.CALLED
            if event & select.POLLOUT and not self._push():
                return Woken.GONE
            if event & ~select.POLLOUT and not self._pull():
                return Woken.GONE
        return None

    def _pull(self) -> bool:
        """Takes what has arrived; whether the other side is still there."""
        try:
            count = self._sock.recv_into(self._in[self._arrived :])
        except BlockingIOError:
            return True
        except OSError:
            return False
        self._arrived += count
        return count > 0

    def _push(self) -> bool:
        """Sends what the connection takes; whether the other side is still there."""
        waited = len(self._unsent) > 0
        try:
            self._unsent = self._unsent[self._sock.send(self._unsent) :]
        except BlockingIOError:
            pass  # the rest leaves when there is room for it
        except OSError:
            self._unsent = memoryview(b"")
            return False
        events = select.POLLIN | select.POLLOUT if self._unsent else select.POLLIN
        if waited:
            self._poll.modify(self._sock, events)
        return True
