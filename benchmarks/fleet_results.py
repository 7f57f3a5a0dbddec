"""What a fleet on Ray costs beside Ray actors: the raw results, and their place in the page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
PAGE, RESULTS = _ROOT / "docs/ray.md", _ROOT / "docs/_static/fleets.json"

_MICROSECONDS = 1e6


@dataclass(frozen=True)
class Compared:
    """The step of a fleet and of Ray actors that hold the same, in turns.

    Attributes:
        held: What a server and an actor hold.
        servers: How many servers the fleet has.
        actors: How many actors there are.
        fleet_seconds: How long a step of all environments takes in the fleet: the median.
        actor_seconds: Likewise in the actors.
    """

    held: str
    servers: int
    actors: int
    fleet_seconds: float
    actor_seconds: float


@dataclass(frozen=True)
class Loss:
    """What was killed while a fleet stepped, and what that cost.

    Attributes:
        what: What was killed.
        envs: How many environments were lost.
        seconds: How long it took until they stepped again.
    """

    what: str
    envs: int
    seconds: float


@dataclass(frozen=True)
class Results:
    """One run.

    Attributes:
        machine: What it was made on.
        compared: The steps.
        losses: The losses.
    """

    machine: str
    compared: Sequence[Compared]
    losses: Sequence[Loss]

    def to_json(self) -> str:
        """The results as they are kept."""
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Results:
        """What `to_json` gives."""
        read = json.loads(text)
        return cls(
            machine=read["machine"],
            compared=[Compared(**row) for row in read["compared"]],
            losses=[Loss(**row) for row in read["losses"]],
        )


def block(results: Results) -> str:
    """The tables of the page."""
    rows = [
        "| What is stepped | In a fleet | In Ray actors | Actors to fleet |",
        "|---|---|---|---|",
    ]
    for each in results.compared:
        ratio = each.actor_seconds / each.fleet_seconds
        rows.append(
            f"| {each.held}; {each.servers} servers, {each.actors} actors | "
            f"{each.fleet_seconds * _MICROSECONDS:,.0f} µs | "
            f"{each.actor_seconds * _MICROSECONDS:,.0f} µs | {ratio:.1f} |"
        )
    lost = "; ".join(
        f"{each.envs} environments stepped again {each.seconds:.1f} s after their {each.what} was "
        f"killed"
        for each in results.losses
    )
    return "\n".join([f"On {results.machine}.", "", *rows, "", f"{lost}.", ""])
