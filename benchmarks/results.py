"""What a run brought, as it is kept in JSON; and the figures that are made of it."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from typing_extensions import Self

from benchmarks.machine import Machine
from benchmarks.turns import Turn

Turns = tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class Spread:
    """The median over rounds, and how far the rounds lie apart.

    Attributes:
        median: The median.
        low: The least of all rounds.
        high: The greatest.
    """

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        """The spread of one value for each round, of which there is at least one."""
        known = sorted(values)
        return cls(statistics.median(known), known[0], known[-1])

    @property
    def width(self) -> float:
        """How far a round lies from the median at most, as a part of it."""
        return max(self.high - self.median, self.median - self.low) / self.median


def rate(turn: Turn) -> float:
    """Steps per second, resets and the policy left out."""
    return turn.steps / turn.stepping


@dataclass(frozen=True, slots=True)
class Shares:
    """How much the pairs of a crowd got done.

    Attributes:
        total: The steps per second of all pairs together.
        slowest: Those of the slowest pair.
    """

    total: float
    slowest: float


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the benchmark.

    Attributes:
        machine: Where it ran.
        rounds: The turns that each contender had.
        seconds: How long a turn was.
        turns: The turns by workload and contender, in the order of the rounds.
        absent: Why a contender is missing, by workload and contender.
        crowd: What the pairs of the crowd got done, round after round, by whether they spin: `on`,
            `off`. Empty where it was left out.
    """

    machine: Machine
    rounds: int
    seconds: float
    turns: dict[str, dict[str, Turns]] = field(default_factory=dict[str, dict[str, Turns]])
    absent: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    crowd: dict[str, tuple[Shares, ...]] = field(default_factory=dict[str, tuple[Shares, ...]])

    def of(self, workload: str, contender: str) -> Turns | None:
        """The turns of a contender; None if it took none."""
        return self.turns.get(workload, {}).get(contender)

    def to_json(self) -> str:
        """The run as JSON, a line for each turn."""
        head: dict[str, Any] = {"machine": dataclasses.asdict(self.machine)}
        crowd = {name: [*map(dataclasses.asdict, found)] for name, found in self.crowd.items()}
        head |= {"rounds": self.rounds, "seconds": self.seconds, "crowd": crowd}
        head |= {"absent": self.absent}
        lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in head.items()]
        workloads = [
            f"{json.dumps(workload)}: {{\n" + ",\n".join(map(_listed, known.items())) + "\n}"
            for workload, known in self.turns.items()
        ]
        return (
            "{\n" + ",\n".join([*lines, '"turns": {\n' + ",\n".join(workloads) + "\n}"]) + "\n}\n"
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The run that `to_json` wrote."""
        read: dict[str, Any] = json.loads(text)
        read["machine"] = Machine(**read["machine"])
        read["crowd"] = {
            name: tuple(Shares(**shares) for shares in found)
            for name, found in read["crowd"].items()
        }
        read["turns"] = {
            workload: {
                contender: tuple(Turn(**turn) for turn in turns)
                for contender, turns in known.items()
            }
            for workload, known in read["turns"].items()
        }
        return cls(**read)


def _listed(item: tuple[str, Turns]) -> str:
    contender, turns = item
    lines = ",\n    ".join(json.dumps(_rounded(turn)) for turn in turns)
    return f"  {json.dumps(contender)}: [\n    {lines}]"


def _rounded(turn: Turn) -> dict[str, Any]:
    """Five digits: more of them are noise."""
    return {
        name: float(f"{value:.5g}") if isinstance(value, float) else value
        for name, value in dataclasses.asdict(turn).items()
    }
