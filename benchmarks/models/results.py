"""What a run brought, as it is kept in JSON, and the bars."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from typing_extensions import Self

from benchmarks.machine import Machine
from benchmarks.models.catalogue import CONTENDERS
from benchmarks.models.episodes import Hidden, Reloads
from benchmarks.models.processes import Turn
from benchmarks.results import Spread

LONE, CROWD = "lone", "crowd"
"""One client of a model that does nothing; sixteen of the slow one."""

PEERS = tuple(key for key, contender in CONTENDERS.items() if contender.package)


@dataclass(slots=True)
class ModelRun:
    """One run.

    Attributes:
        machine: Where it ran.
        rounds: The turns that each contender had.
        seconds: How long a turn was.
        turns: The turns by workload and contender, in the order of the rounds.
        absent: Why a contender is missing, by workload and contender.
        hidden: The episode of chunks.
        reloads: The reloads under load.
    """

    machine: Machine
    rounds: int
    seconds: float
    turns: dict[str, dict[str, list[Turn]]] = field(default_factory=dict[str, Any])
    absent: dict[str, dict[str, str]] = field(default_factory=dict[str, Any])
    hidden: Hidden | None = None
    reloads: Reloads | None = None

    def ratio(self, workload: str, ours: str, other: str, name: str) -> Spread | None:
        """Ours by another's, of one figure; turns of one round stood next to each other."""
        turns = self.turns.get(workload, {})
        if ours not in turns or other not in turns:
            return None
        pairs = zip(turns[ours], turns[other], strict=True)
        return Spread.of(mine[name] / theirs[name] for mine, theirs in pairs)

    def to_json(self) -> str:
        """The run as JSON."""
        return json.dumps(dataclasses.asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The run that `to_json` wrote."""
        read: dict[str, Any] = json.loads(text)
        read["machine"] = Machine(**read["machine"])
        for name, kind in (("hidden", Hidden), ("reloads", Reloads)):
            read[name] = None if read[name] is None else kind(**read[name])
        return cls(**read)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A bar, and what was measured.

    Attributes:
        text: What is compared.
        bar: The bar, in words.
        measured: What was measured, in words; empty where nothing was.
        met: Whether that is enough.
    """

    text: str
    bar: str
    measured: str
    met: bool


def verdicts(run: ModelRun) -> Iterator[Verdict]:
    """Every bar for which there is something to judge."""
    for peer in PEERS:
        title = CONTENDERS[peer].title
        yield from _judged(
            f"one call over shm: the p50, to that of {title}",
            run.ratio(LONE, "shm", peer, "p50"),
            at_most=1 / 3,
        )
    lone = run.turns.get(LONE, {}).get("shm")
    if lone:
        yield from _judged(
            "one call over shm: the p50 in microseconds",
            Spread.of(turn["p50"] for turn in lone),
            at_most=100.0,
        )
    yield from _judged(
        "a lone client: the p50 with dynamic batches, to that without",
        run.ratio(LONE, "shm", "one-by-one", "p50"),
        at_most=1.05,
    )
    yield from _judged(
        "16 clients: how many times as many answers as one by one",
        run.ratio(CROWD, "shm", "one-by-one", "rate"),
        at_least=8.0,
    )
    for peer in PEERS:
        yield from _judged(
            f"16 clients: how many times as many answers as {CONTENDERS[peer].title}",
            run.ratio(CROWD, "shm", peer, "rate"),
            at_least=1.0,
        )
    yield from _of_episodes(run)


def _of_episodes(run: ModelRun) -> Iterator[Verdict]:
    hidden, reloads = run.hidden, run.reloads
    if hidden is not None:
        yield Verdict(
            "prefetch: the part of an inference of 20 ms that 40 ms of actions hide",
            "at least 95 %",
            f"{100 * hidden.hidden:.1f} %",
            hidden.hidden >= 0.95,
        )
        yield Verdict(
            "messages, to chunks",
            "as many",
            f"{hidden.messages} to {hidden.chunks}",
            hidden.messages == hidden.chunks,
        )
    if reloads is not None:
        yield Verdict(
            f"{reloads.reloads} reloads in {reloads.calls} calls: calls that failed",
            "none",
            str(reloads.failed),
            not reloads.failed,
        )
        yield Verdict(
            f"and episodes of two versions, of {reloads.episodes}",
            "none",
            str(reloads.mixed),
            not reloads.mixed and reloads.versions > 1,
        )


def _judged(
    text: str,
    found: Spread | None,
    *,
    at_most: float | None = None,
    at_least: float | None = None,
) -> Iterator[Verdict]:
    if found is None:
        return
    measured = f"{found.median:.2f} ({found.low:.2f} to {found.high:.2f})"
    if at_most is not None:
        yield Verdict(text, f"at most {at_most:.2f}", measured, found.median <= at_most)
    if at_least is not None:
        yield Verdict(text, f"at least {at_least:.2f}", measured, found.median >= at_least)
