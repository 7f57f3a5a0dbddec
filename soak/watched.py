"""What came out of a run in which somebody watched."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.machine import Machine

MIB = 2**20


@dataclass(frozen=True, slots=True)
class Watched:
    """A run in which a browser watched an environment.

    Attributes:
        machine: What it was made on.
        minutes: For how long.
        steps: How many steps the environment made.
        images: How many of its images the page drew.
        samples: What each process held, in bytes, from time to time; memory that several share
            counts in parts.
    """

    machine: Machine
    minutes: float
    steps: int
    images: int
    samples: list[dict[str, int]]

    def page_block(self) -> str:
        """What the page says of it, as Markdown."""
        machine = self.machine
        summary = (
            f"{self.steps:,} steps of 480x640x3 images and {self.images:,} of them drawn in "
            f"{self.minutes:g} minutes, on {machine.cores} cores of {machine.cpu}, "
            f"{machine.system}, {machine.python}."
        )
        lines = [
            summary,
            "",
            "| Memory, median of a quarter | First | Second | Third | Last |",
            "|-----------------------------|------:|-------:|------:|-----:|",
        ]
        for name in self.samples[0]:
            cells = [f"{median / MIB:.1f} MiB" for median in self.quarters(name)]
            lines.append(f"| {' | '.join([name, *cells])} |")
        return "\n".join([*lines, ""])

    def quarters(self, name: str) -> list[float]:
        """What a process held in the median of each quarter of the run, in bytes.

        A median, since a number moves when other programs that share memory with it begin or end.
        """
        size = len(self.samples) // 4
        values = [sample[name] for sample in self.samples]
        return [statistics.median(values[n * size : (n + 1) * size]) for n in range(4)]

    def to_json(self) -> str:
        """The run as `from_json` reads it."""
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Watched:
        """The run that `to_json` wrote."""
        data: dict[str, Any] = json.loads(text)
        machine = Machine(**data.pop("machine"))
        return cls(machine, **data)
