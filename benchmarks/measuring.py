"""Contenders taking turns at a workload."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.busy import spinning
from benchmarks.contenders.catalogue import Contender
from benchmarks.processes import Driver, DriverError, DriverProcesses
from benchmarks.results import Turns
from benchmarks.turns import Turn
from benchmarks.workloads import Workload


@dataclass(frozen=True, slots=True)
class Measured:
    """What one workload brought.

    Attributes:
        turns: The turns of each contender, in the order of the rounds.
        absent: Why a contender is missing.
        failures: Those that are missing because something went wrong.
    """

    turns: dict[str, Turns]
    absent: dict[str, str]
    failures: set[str]


def measure(
    workload: Workload, contenders: Sequence[Contender], rounds: int, seconds: float
) -> Measured:
    """Has the contenders take turns, in an order that is reversed each round.

    Args:
        workload: What is stepped.
        contenders: Those that step it.
        rounds: How many turns each has, after one to warm up.
        seconds: How long a turn is.
    """
    taken: dict[str, list[Turn]] = {contender.key: [] for contender in contenders}
    with DriverProcesses() as processes, contextlib.ExitStack() as beside:
        processes.start([one for one in contenders if one.environment or workload.bare], workload)
        beside.enter_context(spinning(workload.busy))
        for number in range(1 + rounds):
            for driver in list(processes.drivers)[:: -1 if number % 2 else 1]:
                turn = _turn(processes, driver, seconds)
                if turn and number:
                    taken[driver.contender.key].append(turn)
    complete = {key: tuple(turns) for key, turns in taken.items() if len(turns) == rounds}
    return Measured(complete, processes.absent, processes.failures)


def _turn(processes: DriverProcesses, driver: Driver, seconds: float) -> Turn | None:
    try:
        driver.begin(seconds)
        return driver.finish(seconds)
    except DriverError as error:
        processes.drop(driver, error)
        return None
