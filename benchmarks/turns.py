"""One turn of a contender: steps for a while, and what they took on both sides."""

from __future__ import annotations

import contextlib
import os
import time
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contenders.driven import Driven


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn took.

    Attributes:
        steps: How many steps were taken.
        stepping: The seconds spent in them; resets and the policy are not counted.
        wall: The seconds from the turn's beginning to its end.
        p50: The median of a step, in microseconds.
        p99: The 99th percentile, in microseconds.
        client_cpu: The processor seconds of the process that steps, over the whole turn.
        server_cpu: Those of all the other processes of the contender.
        client_memory: The largest resident memory of the process that steps, in bytes, until now.
        server_memory: That of the other processes, each at its largest, added up.
    """

    steps: int
    stepping: float
    wall: float
    p50: float
    p99: float
    client_cpu: float
    server_cpu: float
    client_memory: int
    server_memory: int


def take_turn(
    driven: Driven, seconds: float, policy_seconds: float, start: float | None = None
) -> Turn:
    """Begins an episode, and steps until the time is over.

    Args:
        driven: The contender.
        seconds: How long the turn is.
        policy_seconds: How long to sleep after each step.
        start: When the time begins, by `perf_counter`, which is the same in every process; None: as
            soon as the episode has.
    """
    driven.reset()
    others = list(_descendants(os.getpid()))
    other_cpu, own_cpu = _cpu(others), time.process_time()
    begin = time.perf_counter()
    if start is not None:
        time.sleep(max(0.0, start - begin))
        # One that begins late does not end later.
        begin = start
    taken = _steps(driven, begin + seconds, policy_seconds)
    wall = time.perf_counter() - begin
    own_cpu = time.process_time() - own_cpu
    used = sum(now - other_cpu[process] for process, now in _cpu(others).items())
    driven.rest()
    ordered = sorted(taken)
    return Turn(
        steps=len(ordered),
        stepping=sum(ordered),
        wall=wall,
        p50=ordered[len(ordered) // 2] * 1e6,
        p99=ordered[len(ordered) * 99 // 100] * 1e6,
        client_cpu=own_cpu,
        server_cpu=used,
        client_memory=_peak_memory(os.getpid()),
        server_memory=sum(_peak_memory(process) for process in others),
    )


def _steps(driven: Driven, end: float, policy_seconds: float) -> array[float]:
    """The seconds that each step takes; the loop is the same for every contender."""
    taken = array("d")
    step, reset, clock, note = driven.step, driven.reset, time.perf_counter, taken.append
    while (begin := clock()) < end:
        ended = step()
        note(clock() - begin)
        if ended:
            reset()
        if policy_seconds:
            time.sleep(policy_seconds)
    return taken


def _descendants(process: int) -> Iterator[int]:
    """The processes that a process started, and those that they started."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                status = (entry / "stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                # It has ended meanwhile.
                continue
            # The second field, a name in parentheses, may hold anything.
            parent = int(status.rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry.name))
    waiting = children.get(process, [])
    while waiting:
        found = waiting.pop()
        yield found
        waiting.extend(children.get(found, ()))


def _cpu(processes: Iterable[int]) -> dict[int, float]:
    """The processor seconds of processes until now; one that has ended is left out."""
    used: dict[int, float] = {}
    for process in processes:
        with contextlib.suppress(OSError):
            # The kernel's clock of another process, see clock_getcpuclockid(3).
            used[process] = time.clock_gettime((~process << 3) | 2)
    return used


def _peak_memory(process: int) -> int:
    """In bytes; 0 for one that has ended."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "VmHWM":
                return int(value.split()[0]) * 1024
    return 0
