"""How a side that waits for the other has learnt to wait: in a loop, in a crowd, or asleep.

A wake-up by the kernel costs tens of microseconds; so a side looks for a while first, as long as
that pays. It stops when some waits have outlasted the looking, and takes it up again when as many
waits, which it sleeps through, were short. So neither a slow environment nor a slow policy has it
loop, though a reset comes quickly now and then.

Where processes are more than processors, whoever loops takes from those who could work. So a side
offers its processor to others now and then, which costs next to nothing as long as nobody wants it.
In a crowd it does so at every wait, and sleeps only if the answer has not come after some turns of
the others: two that take turns on one processor need no wake-up.

In a process of several sessions, which share Python's lock, whoever loops holds it: there nobody
does.
"""

from __future__ import annotations

import os
from time import perf_counter
from typing import ClassVar

SPINS = os.environ.get("RLMESH_SPIN") != "0"
OFFERS = 3
"""How often a side in a crowd offers its processor before it sleeps."""
LOOKS_AROUND = 0x1F
"""A wait whose number has none of these bits begins with a look for others."""

# For how many seconds a side looks: at first some times what a wake-up costs; longer where waits
# turn out to end soon after, so that a step of some hundred microseconds needs no wake-up either.
_SHORT_SPIN = 200e-6
_LONG_SPIN = 1e-3
# So many more waits that were too long than others stop it, and so many short ones begin it again.
_PATIENCE = 3
# For how many waits a crowd is taken to last: longer each time that it is still there.
_SHORTEST_CROWD, _LONGEST_CROWD = 8, 512
# For how many seconds a side that offers its processor is away if nobody took it.
_ALONE = 5e-6


class SpinPolicy:
    """What one side of a transport has learnt of its waits.

    Args:
        spins: Whether looking in a loop is possible at all.

    Attributes:
        eager: Whether to look before sleeping.
        span: For how many seconds.
        misses: How many more waits than others were too long for that.
        crowd: For how many waits there are others who want the processor; 0: nobody.
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

    def in_crowd(self) -> bool:
        """Whether others want the processor; looks around unless that is known."""
        if self.crowd > 1:
            self.crowd -= 1
            return True
        began = perf_counter()
        os.sched_yield()
        if perf_counter() - began < _ALONE:
            self.crowd = self._lasted = 0
            return False
        self._lasted = min(max(_SHORTEST_CROWD, 2 * self._lasted), _LONGEST_CROWD)
        self.crowd = self._lasted
        return True

    def missed(self, seconds: float) -> None:
        """Learns from a wait for which the looking was too short.

        Args:
            seconds: How long the whole wait was.
        """
        self.misses += 1
        if seconds < _LONG_SPIN:
            self.span = min(max(self.span, 1.5 * seconds), _LONG_SPIN)
        if self.misses >= _PATIENCE:
            self.eager = False

    def slept(self, seconds: float) -> None:
        """Learns from a wait without looking.

        Args:
            seconds: How long it was.
        """
        if seconds >= _LONG_SPIN:
            self.misses, self.span = _PATIENCE, _SHORT_SPIN
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
        """Notes that it is over."""
        cls._sessions.discard(session)
        cls.shared = len(cls._sessions) > 1
