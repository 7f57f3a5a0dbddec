"""The spin policy: whether a side that waits for the other spins, yields its processor, or sleeps.

A wake-up by the kernel costs tens of microseconds, so a side spins first, as long as that pays. It
stops after a few waits that outlasted the spinning. It begins again after as many short waits that
it slept through. So neither a slow environment nor a slow policy makes it spin, though a reset may
be quick now and then. Nor does a side spin for a peer that is quick, where messages are rare since
the side itself takes long: a wake-up is then next to nothing of the time between two of them, and
the peer, which has slept, needs the time of one to answer.

Where there are more processes than processors, a side that spins takes time from those that could
work. So a side yields its processor now and then, and after each wait that outlasted the spinning;
that costs next to nothing while no other process wants it. While others want it, the side yields at
every wait, and sleeps only if the answer has not come after a few turns of the others: two
processes that share one processor need no wake-up.

A process with several sessions never spins: the thread that spins would hold Python's lock.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from math import inf
from time import perf_counter
from typing import ClassVar, TypeVar

T = TypeVar("T")

SPINS = os.environ.get("RLMESH_SPIN") != "0"
LOOKS_AROUND = 0x1F
"""A wait whose number has none of these bits first checks whether others want the processor."""

# After so many looks the spinning reads the clock.
_LOOKS = 20
# How often a side yields its processor to others before it sleeps.
_YIELDS = 3
# For how many seconds a side spins: at first a few times what a wake-up costs; longer where waits
# end soon after, so that a step of some hundred microseconds needs no wake-up either.
_SHORT_SPIN = 200e-6
_LONG_SPIN = 1e-3
# It stops when so many more waits were long than short, and resumes after as many short ones.
_TOLERANCE = 3
# From so many seconds between two messages on they are rare: two wake-ups are a few percent of it.
_RARE = 3e-3
# For how many waits others are assumed to want the processor: longer each time they still do.
_SHORTEST_CROWD, _LONGEST_CROWD = 8, 512
# How long a yield takes, in seconds, if no other process wants the processor.
_ALONE = 5e-6
# How many yields in a row must take longer before others are assumed. One proves nothing: a thread
# of the kernel ran for a moment, or the hypervisor took the processor away.
_DOUBTS = 3


class SpinPolicy:
    """What one side of a transport has learnt from its waits. Only the thread that waits uses it.

    Args:
        spins: Whether spinning is allowed at all.

    Attributes:
        eager: Whether to spin before sleeping.
        span: For how many seconds.
        misses: How many more waits outlasted the spinning than not.
        crowd: For how many more waits others are assumed to want the processor.
        shared: Whether this process answers several sessions.
    """

    shared: ClassVar[bool] = False
    _sessions: ClassVar[set[object]] = set()

    def __init__(self, *, spins: bool = True) -> None:
        self._spins = spins and SPINS
        self.eager: bool = self._spins
        self.span: float = _SHORT_SPIN
        self.misses: int = 0
        self.crowd: int = 0
        self._lasted = 0
        self._number = 0
        self._began = inf

    def wait(
        self,
        number: int,
        look: Callable[[], T | None],
        sleep: Callable[[float | None], T],
        deadline: float | None,
    ) -> T:
        """Waits for the other side: spins, yields or sleeps, as the waits before suggest.

        Args:
            number: The wait's number: every 32nd checks whether others want the processor.
            look: Returns what has come; a false value while nothing has. It is called in a loop.
            sleep: Waits for it in the kernel, until the deadline at most.
            deadline: On the monotonic clock, in seconds; None: no limit.

        Returns:
            What `look` or `sleep` has returned.
        """
        if self.shared:
            return sleep(deadline)
        began = perf_counter()
        rare = self._is_rare(number, began)
        if not self.eager:
            slept = sleep(deadline)
            if slept:
                self.slept(inf if rare else perf_counter() - began)
            return slept
        if rare:
            self.missed(inf)
            return sleep(deadline)
        if (self.crowd or not number & LOOKS_AROUND) and self.in_crowd():
            for _ in range(_YIELDS):
                os.sched_yield()
                if found := look():
                    return found
            return sleep(deadline)
        found = self._spin(look, began)
        if found:
            if self.misses:
                self.misses -= 1
            return found
        slept = sleep(deadline)
        self.missed(perf_counter() - began)
        return slept

    def _is_rare(self, number: int, began: float) -> bool:
        """Whether messages are so rare that spinning is not worth its time.

        Args:
            number: The number of the wait that begins. Waits that ended sooner than they came to
                this policy have been counted too.
            began: When it begins, by `perf_counter`.
        """
        waits = (number - self._number) & 0xFF
        seconds = began - self._began
        # A message that comes in parts has one number.
        if not waits:
            return False
        self._number, self._began = number, began
        return seconds >= _RARE * waits

    def _spin(self, look: Callable[[], T | None], began: float) -> T | None:
        span = self.span
        # Looks at least once: the processor may have been taken away since the wait began.
        while True:
            for _ in range(_LOOKS):
                if found := look():
                    return found
            if perf_counter() - began >= span:
                return None

    def in_crowd(self) -> bool:
        """Whether others want the processor; measures it unless that is known."""
        if self.crowd > 1:
            self.crowd -= 1
            return True
        # Where others were there a moment ago, one long yield is proof enough.
        for _ in range(1 if self._lasted else _DOUBTS):
            began = perf_counter()
            os.sched_yield()
            if perf_counter() - began < _ALONE:
                self.crowd = self._lasted = 0
                return False
        self._lasted = min(max(_SHORTEST_CROWD, 2 * self._lasted), _LONGEST_CROWD)
        self.crowd = self._lasted
        return True

    def missed(self, seconds: float) -> None:
        """Learns from a wait that outlasted the spinning.

        Args:
            seconds: How long the whole wait was; infinite where messages are rare.
        """
        self.misses += 1
        # The other side may wait for this processor, and would have answered without the spinning:
        # the next wait looks whether it does, and spinning for longer would not help.
        self.crowd = self.crowd or 1
        if seconds < _LONG_SPIN:
            self.span = min(max(self.span, 1.5 * seconds), _LONG_SPIN)
        if self.misses >= _TOLERANCE:
            self.eager = False

    def slept(self, seconds: float) -> None:
        """Learns from a wait without spinning.

        Args:
            seconds: How long it was; infinite where messages are rare.
        """
        if seconds >= _LONG_SPIN:
            self.misses, self.span = _TOLERANCE, _SHORT_SPIN
            return
        self.span = min(max(self.span, 1.5 * seconds), _LONG_SPIN)
        self.misses -= 1
        if self.misses <= 0:
            self.misses, self.eager = 0, self._spins

    @classmethod
    def joined(cls, session: object) -> None:
        """Notes that this process answers a session."""
        cls._sessions.add(session)
        cls.shared = len(cls._sessions) > 1

    @classmethod
    def left(cls, session: object) -> None:
        """Notes that a session is over."""
        cls._sessions.discard(session)
        cls.shared = len(cls._sessions) > 1
