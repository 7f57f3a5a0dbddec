"""What came out of a run, and whether it is flat."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.machine import Machine
from soak.sampling import Sample

MEMORY, THREADS, DESCRIPTORS = "memory", "threads", "descriptors"
LIMITS = {MEMORY: 2.0 * 2**20, THREADS: 0.5, DESCRIPTORS: 0.5}
"""By how much a process may grow over the second half of a run, on the line that fits it best. Two
MiB are four bytes a step: less than the least that a step could leave behind."""


@dataclass(slots=True)
class Counts:
    """What was done.

    Attributes:
        steps: Calls of `step`.
        resets: Calls of `reset`.
        sessions: Sessions that were opened and closed.
        cuts: Connections that were cut, and sessions that went on.
    """

    steps: int = 0
    resets: int = 0
    sessions: int = 0
    cuts: int = 0


@dataclass(frozen=True, slots=True)
class Growth:
    """By how much something grew over the second half.

    Attributes:
        process: `client` or `server`.
        what: `memory`, `threads` or `descriptors`.
        first: What it was in the middle.
        last: What it was at the end.
        grown: By how much the fitted line rises.
    """

    process: str
    what: str
    first: int
    last: int
    grown: float

    @property
    def flat(self) -> bool:
        """Whether that is within the limit."""
        return self.grown <= LIMITS[self.what]


@dataclass(slots=True)
class Run:
    """A run.

    Attributes:
        machine: What it was made on.
        counts: What was done.
        seconds: For how long.
        steps: How many steps had been made at each sample.
        samples: What each process held then.
    """

    machine: Machine
    counts: Counts = field(default_factory=Counts)
    seconds: float = 0.0
    steps: list[int] = field(default_factory=list[int])
    samples: dict[str, list[Sample]] = field(default_factory=lambda: {"client": [], "server": []})

    def growths(self) -> list[Growth]:
        """What grew by how much, of both processes."""
        middle = len(self.steps) // 2
        found: list[Growth] = []
        for process, samples in self.samples.items():
            for what in LIMITS:
                values = [getattr(sample, what) for sample in samples[middle:]]
                rise = fitted_rise(self.steps[middle:], values)
                found.append(Growth(process, what, values[0], values[-1], rise))
        return found

    def to_json(self) -> str:
        """The run as `from_json` reads it."""
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Run:
        """The run that `to_json` wrote."""
        data: dict[str, Any] = json.loads(text)
        samples = {
            process: [Sample(**sample) for sample in kept]
            for process, kept in data["samples"].items()
        }
        machine, counts = Machine(**data["machine"]), Counts(**data["counts"])
        return cls(machine, counts, data["seconds"], data["steps"], samples)


def fitted_rise(places: Sequence[float], values: Sequence[float]) -> float:
    """By how much the line of least squares rises from the first place to the last."""
    count = len(places)
    mean_place, mean = sum(places) / count, sum(values) / count
    spread = sum((place - mean_place) ** 2 for place in places)
    if not spread:
        return 0.0
    slope = (
        sum(
            (place - mean_place) * (value - mean)
            for place, value in zip(places, values, strict=True)
        )
        / spread
    )
    return slope * (places[-1] - places[0])
