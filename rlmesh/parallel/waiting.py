"""Waits for the other side of a segment: spins, yields or sleeps, as the spin policy says.

No wake-up is lost for more than twenty milliseconds, for the reason that
`rlmesh.transports.shm.doorbell` gives: a side that goes to sleep raises its flag, and then looks
once more; the other side writes what it has to say, and then looks at the flag.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from rlmesh.transports.shm.doorbell import ORDERED
from rlmesh.transports.spin_policy import SpinPolicy

__all__ = ["FIRST_SLEEP", "LONGEST_SLEEP", "ORDERED", "Waiter", "fence"]

FIRST_SLEEP = 0.02
LONGEST_SLEEP = 0.5
"""In seconds; a signal that comes just before `poll` sleeps does not wake it."""

_barrier = threading.Lock()


def fence() -> None:
    """Keeps reads and writes in order where the processor does not; for no x86."""
    with _barrier:
        pass


class Waiter:
    """Waits as the waits before suggest. One thread uses it."""

    def __init__(self) -> None:
        self._policy = SpinPolicy(spins=ORDERED)
        self._number = 0

    def wait(
        self,
        look: Callable[[], bool],
        sleep: Callable[[float], None],
        deadline: float | None = None,
    ) -> bool:
        """Waits until `look` returns True; returns False if the deadline passes before.

        Args:
            look: Whether what is awaited has come. It is called in a loop.
            sleep: Sleeps until the other side rings, or for so many seconds; may raise, to end the
                wait.
            deadline: On the monotonic clock, in seconds; None: no limit.
        """
        self._number += 1
        return self._policy.wait(
            self._number, look, lambda until: _asleep(look, sleep, until), deadline
        )


def _asleep(
    look: Callable[[], bool], sleep: Callable[[float], None], deadline: float | None
) -> bool:
    longest = 0.0
    while not look():
        pause = longest
        if deadline is not None:
            pause = min(pause, max(0.0, deadline - time.monotonic()))
        sleep(pause)
        longest = LONGEST_SLEEP if longest else FIRST_SLEEP
        if deadline is not None and time.monotonic() >= deadline:
            return look()
    return True
