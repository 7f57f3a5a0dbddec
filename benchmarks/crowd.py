"""Eight servers and eight clients on two cores: do waiting loops take time from work?"""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Generator

from benchmarks.contenders.catalogue import CONTENDERS
from benchmarks.processes import DriverError, DriverProcesses
from benchmarks.results import Shares
from benchmarks.workloads import WORKLOADS

PAIRS, CORES = 8, 2
# With more processes than cores a turn is long enough once each had its share many times.
LONGER = 6
# And as the system may give nearly all to a single pair for a whole turn, many turns count as one.
TURNS = 5
# How long before a turn all are announced it: one that begins late would step after the others.
_NOTICE_SECONDS = 0.3
_SPINNING = {"on": {"RLMESH_SPIN": "1"}, "off": {"RLMESH_SPIN": "0"}}


def measure_crowd(rounds: int, seconds: float) -> dict[str, tuple[Shares, ...]]:
    """Has all pairs step CartPole at the same time, with spinning and without, turn about.

    Args:
        rounds: How many rounds there are, of `TURNS` turns each, after a turn to warm up.
        seconds: How long a turn of one contender alone is; these are `LONGER` times as long.

    Returns:
        What they got done, round after round, by `on` and `off`.

    Raises:
        DriverError: If one of the pairs cannot be had.
    """
    turns: dict[str, list[Shares]] = {name: [] for name in _SPINNING}
    with contextlib.ExitStack() as stack:
        stack.enter_context(_on_few_cores())
        groups: dict[str, DriverProcesses] = {}
        for name, variables in _SPINNING.items():
            groups[name] = stack.enter_context(DriverProcesses())
            groups[name].start([CONTENDERS["shm"]] * PAIRS, WORKLOADS["cartpole"], variables)
            if groups[name].absent:
                raise DriverError(groups[name].absent["shm"])
        for number in range(1 + rounds * TURNS):
            for name in list(groups)[:: -1 if number % 2 else 1]:
                shares = _together(groups[name], LONGER * seconds)
                if number:
                    turns[name].append(shares)
    return {
        name: tuple(_mean(all_turns[at : at + TURNS]) for at in range(0, len(all_turns), TURNS))
        for name, all_turns in turns.items()
    }


def _mean(turns: list[Shares]) -> Shares:
    return Shares(
        statistics.fmean(turn.total for turn in turns),
        statistics.fmean(turn.slowest for turn in turns),
    )


def _together(processes: DriverProcesses, seconds: float) -> Shares:
    start = time.perf_counter() + _NOTICE_SECONDS
    for driver in processes.drivers:
        driver.begin(seconds, start)
    turns = [driver.finish(seconds + _NOTICE_SECONDS) for driver in processes.drivers]
    # Resets count here: a waiting loop takes time from them too.
    steps = [turn.steps / seconds for turn in turns]
    return Shares(sum(steps), min(steps))


@contextlib.contextmanager
def _on_few_cores() -> Generator[None]:
    """What is started within runs on the first cores only."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[:CORES])
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)
