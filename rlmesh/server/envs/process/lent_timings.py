"""How long the calls of a session took, where a worker answers some of them by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rlmesh.server.timings import Timings


class LentTimings(Timings):
    """The timings of the calls that this process answered, and of those that a worker answered.

    Args:
        totals: Returns count and seconds of the worker's calls in the loan that lasts, by kind.
    """

    def __init__(self, totals: Callable[[], Mapping[str, tuple[int, float]]]) -> None:
        super().__init__()
        self._totals = totals

    @property
    def calls(self) -> int:
        """How many calls were executed. Any thread may ask."""
        return super().calls + sum(count for count, _ in self._totals().values())

    def add(self, totals: Mapping[str, tuple[int, float]]) -> None:
        """Adds those of a loan that has ended. Only the slot's thread may."""
        for kind, (count, seconds) in totals.items():
            timing = self.of(kind)
            timing.count += count
            timing.server += seconds
