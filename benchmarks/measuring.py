"""Rounds of steps, and what they say."""

from __future__ import annotations

import contextlib
import statistics
import time
from dataclasses import dataclass

from benchmarks.contenders import CONTENDERS, Step


@dataclass(frozen=True, slots=True)
class Result:
    """What one contender took for one workload.

    Attributes:
        contender: Its name.
        medians: The median of each round, in microseconds per step.
        p99: The 99th percentile over all rounds, in microseconds.
    """

    contender: str
    medians: tuple[float, ...]
    p99: float

    @property
    def p50(self) -> float:
        """The median of the rounds' medians, in microseconds."""
        return statistics.median(self.medians)

    @property
    def spread(self) -> float:
        """How far the rounds' medians lie apart, as a part of their median."""
        return (max(self.medians) - min(self.medians)) / self.p50


def measure(workload: str, rounds: int, seconds: float) -> list[Result]:
    """Has every contender take turns at a workload.

    Args:
        workload: The workload's name.
        rounds: How many turns each has, after one to warm up.
        seconds: How long a turn takes.
    """
    taken: dict[str, list[list[float]]] = {name: [] for name in CONTENDERS}
    with contextlib.ExitStack() as stack:
        steps = {name: stack.enter_context(make(workload)) for name, make in CONTENDERS.items()}
        for step in steps.values():
            _turn(step, seconds)
        for _ in range(rounds):
            for name, step in steps.items():
                taken[name].append(_turn(step, seconds))
    return [
        Result(
            name,
            tuple(statistics.median(turn) for turn in turns),
            statistics.quantiles([one for turn in turns for one in turn], n=100)[-1],
        )
        for name, turns in taken.items()
    ]


def _turn(step: Step, seconds: float) -> list[float]:
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while (begin := time.perf_counter()) < end:
        step()
        taken.append((time.perf_counter() - begin) * 1e6)
    return taken
