"""Eight servers and eight clients on two cores: does waiting in a loop take from who could work?"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Generator

from benchmarks.contenders.catalogue import CONTENDERS
from benchmarks.fleet import DriverError, Fleet
from benchmarks.workloads import WORKLOADS

PAIRS, CORES = 8, 2
# With more processes than cores a turn is long enough once each had its share many times.
LONGER = 6
# How long before a turn all are told of it: who began late would step while others have ended.
_NOTICE_SECONDS = 0.3
_SPINNING = {"on": {"RLMESH_SPIN": "1"}, "off": {"RLMESH_SPIN": "0"}}


def measure_crowd(rounds: int, seconds: float) -> dict[str, tuple[float, ...]]:
    """Has all pairs step CartPole at the same time, with spinning and without, turn about.

    Args:
        rounds: How many turns each has, after one to warm up.
        seconds: How long a turn of one contender alone is; these are `LONGER` times as long.

    Returns:
        The steps per second of all pairs together, round after round, by `on` and `off`.

    Raises:
        DriverError: If one of the pairs cannot be had.
    """
    totals: dict[str, list[float]] = {name: [] for name in _SPINNING}
    with contextlib.ExitStack() as stack:
        stack.enter_context(_on_few_cores())
        fleets: dict[str, Fleet] = {}
        for name, variables in _SPINNING.items():
            fleets[name] = stack.enter_context(Fleet())
            fleets[name].start([CONTENDERS["shm"]] * PAIRS, WORKLOADS["cartpole"], variables)
            if fleets[name].absent:
                raise DriverError(fleets[name].absent["shm"])
        for number in range(1 + rounds):
            for name in list(fleets)[:: -1 if number % 2 else 1]:
                total = _together(fleets[name], LONGER * seconds)
                if number:
                    totals[name].append(total)
    return {name: tuple(values) for name, values in totals.items()}


def _together(fleet: Fleet, seconds: float) -> float:
    start = time.perf_counter() + _NOTICE_SECONDS
    for driver in fleet.drivers:
        driver.begin(seconds, start)
    turns = [driver.finish(seconds + _NOTICE_SECONDS) for driver in fleet.drivers]
    # Resets count here: whoever spins takes from them as well.
    return sum(turn.steps for turn in turns) / seconds


@contextlib.contextmanager
def _on_few_cores() -> Generator[None]:
    """What is started within runs on the first cores only."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[:CORES])
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)
