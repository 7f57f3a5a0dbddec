"""The bell: how two processes that share memory tell each other that it is the other's turn.

Each side owns a line of bytes in the shared segment: how many frames it has posted, modulo 256, and
whether it sleeps. A side that waits looks at the other's count: for a short time in a loop, because
a wake-up by the kernel costs tens of microseconds, then asleep in `poll` on the Unix socket that
both hold. The two take turns, so a count that is one off says that nothing has come yet.

Where processes are more than processors, whoever spins takes from those who could work. So a side
offers its processor to others now and then, which costs next to nothing as long as nobody wants it.
In a crowd it does so at every wait, and sleeps only if the answer has not come after some turns of
the others: two that take turns on one processor need no wake-up.

In a process of several sessions, which share Python's lock, whoever spins holds it: there nobody
does.

No wake-up is lost for more than a millisecond. The sleeper raises its flag and then looks at the
count once more; the poster raises its count and then looks at the flag. One of the two sees what
the other wrote, unless both look while the other's write is still in a processor's store buffer,
which an x86 processor allows. A write stands there for some nanoseconds; so the sleeper's first
sleep ends after a millisecond, and it looks again. A fence on the path of every post would cost
more than those sleeps. Where the processor orders memory less strictly than x86 even a count may
overtake the frame that it announces: there nobody spins, and every post rings.

The socket is the end-of-life signal too: when the other process dies, however it dies, the kernel
closes its end, and `poll` returns at once.
"""

from __future__ import annotations

import mmap
import os
import platform
import select
import socket
import time
from time import perf_counter

from rlmesh.lanes.port import BadFrameError, Woken

LINE = 64
"""Bytes of one side: a cache line of its own, so that the two do not slow each other down."""

_ORDERED = platform.machine().lower() in ("x86_64", "amd64", "i686")
_SPINS = _ORDERED and os.environ.get("RLMESH_SPIN") != "0"
# One look takes some 30 ns. After so many the clock is looked at; most answers come before.
_LOOKS = 1000
# For how many seconds a spin lasts: at first some times what a wake-up costs; longer where waits
# turn out to end soon after, so that a step of some hundred microseconds needs no wake-up either.
_SHORT_SPIN = 200e-6
_LONG_SPIN = 1e-3
# So many waits in a row that had to sleep after all stop the spinning for a while.
_PATIENCE = 3
_SHORTEST_REST, _LONGEST_REST = 8, 512
# A wait whose number has none of these bits begins with a look for others that want the processor.
_LOOKS_AROUND = 0x1F
# For how many seconds it is away if nobody took it.
_ALONE = 5e-6
# How often it is offered in a crowd before this side sleeps.
_OFFERS = 3
_POSTED, _ASLEEP = 0, 1

_sessions: set[object] = set()
_shared = False


def joined(session: object) -> None:
    """Notes that a session is answered by this process."""
    global _shared  # noqa: PLW0603 - a look at a set takes longer, and there is one for each wait
    _sessions.add(session)
    _shared = len(_sessions) > 1


def left(session: object) -> None:
    """Notes that it is over."""
    global _shared  # noqa: PLW0603 - as above
    _sessions.discard(session)
    _shared = len(_sessions) > 1


# In milliseconds. A signal that comes just before `poll` sleeps does not wake it, and Python runs
# the handler only then: so long may Ctrl-C take at most.
_LONGEST_POLL = 500.0
_FIRST_POLL = 1.0


class Bell:
    """One side's end of a bell.

    Args:
        lines: The segment's control lines.
        sock: This side's end of the Unix socket.
        first: Whether this side owns the first line; the other side then owns the second.
        also: A descriptor whose readability ends a wait as well; None where there is none.
    """

    def __init__(
        self, lines: mmap.mmap, sock: socket.socket, *, first: bool, also: int | None = None
    ) -> None:
        self._lines = lines
        self._sock = sock
        self._mine = 0 if first else LINE
        self._theirs = LINE if first else 0
        self._also = also
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)
        if also is not None:
            self._poll.register(also, select.POLLIN)
        self._descriptors: list[int] = []
        self._span = _SHORT_SPIN
        self._misses = 0
        self._rest = 0 if _SPINS else _LONGEST_REST
        self._rested = 0
        self._in_crowd = False

    def post(self) -> None:
        """Tells the other side that this side has posted one more frame."""
        lines, mine = self._lines, self._mine
        # The byte itself is the count: Ctrl-C may come just before this, or just after.
        lines[mine] = (lines[mine] + 1) & 0xFF
        if lines[self._theirs + _ASLEEP] or not _ORDERED:
            self._ring()

    def wait(self, count: int, deadline: float | None = None) -> Woken:
        """Waits until the other side has posted its frame number `count`.

        Args:
            count: The number, modulo 256.
            deadline: On the monotonic clock, in seconds; None: for ever.
        """
        lines, place = self._lines, self._theirs
        if _shared:
            return self._sleep(count, deadline)
        if self._rested >= self._rest and (self._rest or not count & _LOOKS_AROUND):
            self._look_around()
        if self._rested < self._rest:
            self._rested += _SPINS
            for _ in range(_OFFERS if self._in_crowd else 0):
                os.sched_yield()
                if lines[place] == count:
                    return Woken.POSTED
            return self._sleep(count, deadline)
        for _ in range(_LOOKS):
            if lines[place] == count:
                self._misses = self._rest = 0
                return Woken.POSTED
        began = perf_counter()
        if self._spin(count, began):
            self._misses = self._rest = 0
            return Woken.POSTED
        woken = self._sleep(count, deadline)
        took = perf_counter() - began
        if took < _LONG_SPIN:
            self._span = min(max(self._span, 1.5 * took), _LONG_SPIN)
        return woken

    def _spin(self, count: int, began: float) -> bool:
        """Looks at the other side's count for a while; whether it has come."""
        lines, place = self._lines, self._theirs
        while perf_counter() - began < self._span:
            for _ in range(_LOOKS):
                if lines[place] == count:
                    return True
        # In vain: the other side is slow, or has no processor to run on.
        self._misses += 1
        if self._misses >= _PATIENCE:
            self._in_crowd = False
            self._rest_longer()
            self._span = _SHORT_SPIN
        return False

    def _look_around(self) -> None:
        """Offers the processor to others; has this side rest if one of them took it."""
        began = perf_counter()
        os.sched_yield()
        if perf_counter() - began >= _ALONE:
            self._in_crowd = True
            self._rest_longer()

    def _rest_longer(self) -> None:
        """Stops the spinning for a while, for longer each time until it has paid again."""
        self._rest = min(max(_SHORTEST_REST, 2 * self._rest), _LONGEST_REST)
        self._rested = 0

    def _sleep(self, count: int, deadline: float | None) -> Woken:
        lines, place = self._lines, self._theirs
        lines[self._mine + _ASLEEP] = 1
        longest = _FIRST_POLL
        try:
            while lines[place] != count:
                pause = longest
                if deadline is not None:
                    pause = min(pause, max(0.0, (deadline - time.monotonic()) * 1000))
                for descriptor, _ in self._poll.poll(pause):
                    if descriptor == self._also:
                        return Woken.CALLED
                    # Its last post may have come before its end.
                    if not self._answer_ring() and lines[place] != count:
                        return Woken.GONE
                longest = _LONGEST_POLL
                late = deadline is not None and time.monotonic() >= deadline
                if late and lines[place] != count:
                    return Woken.LATE
        finally:
            lines[self._mine + _ASLEEP] = 0
        return Woken.POSTED

    def _ring(self) -> None:
        try:
            self._sock.send(b"\0", socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except BlockingIOError:
            # Rings that the other side has not heard yet fill the socket: it will wake.
            return
        except OSError:
            # The other side has gone; the next wait tells.
            return

    def take_descriptor(self) -> int | None:
        """The descriptor that came with the other side's rings; None if none has come.

        It is sent before the frame that announces it, so there is nothing to wait for. The caller
        closes it.
        """
        mine = self._sock.fileno()
        while not self._descriptors:
            if mine not in dict(self._poll.poll(0)):
                return None
            if not self._answer_ring() and not self._descriptors:
                return None
        return self._descriptors.pop()

    def close(self) -> None:
        """Gives back a descriptor that came without its frame."""
        while self._descriptors:
            os.close(self._descriptors.pop())

    def _answer_ring(self) -> bool:
        """Takes what the socket holds; whether the other side is still there.

        Raises:
            BadFrameError: If it sends descriptors that no frame announces.
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
