"""The doorbell: how two processes that share memory signal each other that a message is there.

Each side owns a line of bytes in the shared segment: how many messages it has posted, modulo 256,
and whether it sleeps. A side that waits looks at the other's count: first in a loop, as long as
that pays, then it sleeps in `poll` on the Unix socket that both hold. The two take turns, so a
count that is one less means that nothing has come yet.

No wake-up is lost for more than twenty milliseconds. The sleeper raises its flag and then looks
at the count once more; the poster raises its count and then looks at the flag. One of the two
sees what the other wrote, unless both look while the other's write is still in a processor's
store buffer, which an x86 processor allows. A write stands there for some nanoseconds, and the
sleeper goes to the kernel and back between its two looks, which takes longer. As nothing promises
that, its first sleep ends after those milliseconds, and it looks again: no sooner, for each look
costs a wake-up. A fence on the path of every post would cost more than those sleeps. Where the
processor orders memory less strictly than x86 even a count may overtake the frame that it
announces: there nobody spins, and every post rings.

The socket is the end-of-life signal too: when the other process dies, however it dies, the kernel
closes its end, and `poll` returns at once.
"""

from __future__ import annotations

import os
import platform
import select
import socket
import time

from rlmesh.compiled.interface import SegmentEnd
from rlmesh.transports.pipe import POSTED, BadFrameError, WakeReason
from rlmesh.transports.spin_policy import SpinPolicy

LINE = 64
"""Bytes of one side: a cache line of its own, so that the two do not slow each other down."""

ORDERED: bool = platform.machine().lower() in ("x86_64", "amd64", "i686")
"""Whether the processor shows one core's writes to another in the order in which it made them."""

# How many looks the spin policy makes at a time.
_LOOKS = 20

# In milliseconds. A signal that comes just before `poll` sleeps does not wake it, and Python runs
# the handler only then: so long may Ctrl-C take at most.
_LONGEST_POLL = 500.0
_FIRST_POLL = 20.0


class Doorbell:
    """One side's end of a doorbell.

    Args:
        end: This side of the segment.
        sock: This side's end of the Unix socket.

    Attributes:
        policy: What this side has learnt from its waits.
    """

    def __init__(self, end: SegmentEnd, sock: socket.socket) -> None:
        self._end = end
        self._sock = sock
        self._wake_fd: int | None = None
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)
        self._descriptors: list[int] = []
        self.policy: SpinPolicy = SpinPolicy(spins=ORDERED)

    def watch(self, wake_fd: int) -> None:
        """Has every later wait end also when a descriptor becomes readable."""
        self._wake_fd = wake_fd
        self._poll.register(wake_fd, select.POLLIN)

    def post(self) -> None:
        """Posts a message whose header stands in the area, and wakes a sleeper."""
        if self._end.announce() or not ORDERED:
            self.ring()

    def wait(self, count: int, deadline: float | None = None) -> WakeReason:
        """Waits until the other side has posted its message number `count`.

        Args:
            count: The number, modulo 256.
            deadline: On the monotonic clock, in seconds; None: no limit.
        """
        look = self._end.look
        return self.policy.wait(
            count,
            lambda: POSTED if look(count, _LOOKS) else None,
            lambda until: self._sleep(count, until),
            deadline,
        )

    def _sleep(self, count: int, deadline: float | None) -> WakeReason:
        end, look = self._end, self._end.look
        end.sleeps(True)
        longest = 0.0
        try:
            while not look(count, 1):
                pause = longest
                if deadline is not None:
                    pause = min(pause, max(0.0, (deadline - time.monotonic()) * 1000))
                for descriptor, _ in self._poll.poll(pause):
                    if descriptor == self._wake_fd:
                        return WakeReason.CALLED
                    # Its last post may have come before its end.
                    if not self._answer_ring() and not look(count, 1):
                        return WakeReason.GONE
                longest = _LONGEST_POLL if longest else _FIRST_POLL
                late = deadline is not None and time.monotonic() >= deadline
                if late and not look(count, 1):
                    return WakeReason.LATE
        finally:
            end.sleeps(False)
        return POSTED

    def ring(self) -> None:
        """Wakes the other side, if it sleeps."""
        try:
            self._sock.send(b"\0", socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except BlockingIOError:
            # Rings that the other side has not read yet fill the socket: it will wake.
            return
        except OSError:
            # The other side has gone; the next wait reports that.
            return

    def take_descriptor(self) -> int | None:
        """The descriptor that came with the other side's rings; None if none has come.

        It is sent before the header that announces it, so this does not wait. The caller closes it.
        """
        mine = self._sock.fileno()
        while not self._descriptors:
            if mine not in dict(self._poll.poll(0)):
                return None
            if not self._answer_ring() and not self._descriptors:
                return None
        return self._descriptors.pop()

    def take_kept(self) -> int | None:
        """A descriptor that came, and that no header announced. The caller closes it."""
        return self._descriptors.pop() if self._descriptors else None

    def keep_descriptor(self, descriptor: int) -> None:
        """Takes a descriptor that came to another process, for the next `take_descriptor`."""
        self._descriptors.append(descriptor)

    def close(self) -> None:
        """Closes a descriptor that came without a header."""
        while self._descriptors:
            os.close(self._descriptors.pop())

    def _answer_ring(self) -> bool:
        """Reads what the socket holds; returns whether the other side is still there.

        Raises:
            BadFrameError: If it sends descriptors that no header announces.
        """
        try:
            rings, descriptors, _, _ = socket.recv_fds(self._sock, 256, 4, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self._descriptors += descriptors
        if len(self._descriptors) > 1:
            raise BadFrameError("more than one segment for a message")
        return bool(rings)
