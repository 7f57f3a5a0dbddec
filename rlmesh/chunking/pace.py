"""How many actions ahead the next chunk has to be asked for."""

from __future__ import annotations

import math
from collections import deque

__all__ = ["Pace"]

_LATENCIES, _STEPS = 4, 32


class Pace:
    """How long chunks take, and how long the caller takes for a step.

    Args:
        most: The largest number of actions to ask ahead.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._latencies: deque[float] = deque(maxlen=_LATENCIES)
        self._steps: deque[float] = deque(maxlen=_STEPS)

    @property
    def latency(self) -> float | None:
        """How long the last chunk took, in seconds; None before the first."""
        return self._latencies[-1] if self._latencies else None

    def note_latency(self, seconds: float) -> None:
        """Notes how long a chunk took."""
        self._latencies.append(seconds)

    def note_step(self, seconds: float) -> None:
        """Notes how long the caller took between two calls of `act`."""
        self._steps.append(seconds)

    def ahead(self) -> int:
        """How many steps the slowest of the last chunks takes; one or more, if that is allowed."""
        if not self._latencies or not self._steps:
            return min(1, self._most)
        step = sum(self._steps) / len(self._steps)
        steps = self._most if step <= 0 else math.ceil(max(self._latencies) / step)
        return min(max(1, steps), self._most)
