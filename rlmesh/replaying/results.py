"""What a replay found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

from rlmesh.contract import ContractDifference

Part: TypeAlias = Literal["observation", "reward", "terminated", "truncated", "info", "error"]
"""Which part of what a call returned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Where what an environment did differs from what was recorded.

    Attributes:
        recording: The first file of the recording.
        episode: The number of the episode in the recording, from 0.
        env_index: The sub-environment; None for a single environment.
        step: The step of the episode; 0 is its reset.
        part: `observation`, `reward`, `terminated`, `truncated`, `info` or `error`.
        path: The place in the part, `$.arm[1]`; of an observation, in its space.
        index: The element of an array there; empty for what is no array.
        recorded: What was recorded, as text.
        replayed: What came now.
        ulps: How far two floats lie apart, in units in the last place; None for anything else.
    """

    recording: str
    episode: int
    env_index: int | None
    step: int
    part: Part
    path: str
    index: tuple[int, ...]
    recorded: str
    replayed: str
    ulps: int | None

    def __str__(self) -> str:
        """It as a sentence."""
        where = f"episode {self.episode}"
        if self.env_index is not None:
            where += f" (sub-environment {self.env_index})"
        step = f"step {self.step}" if self.step else "the reset"
        place = f" {self.path}" if self.part in ("observation", "info") else ""
        if self.index:
            place += f" at {list(self.index)}"
        apart = ""
        if self.ulps is not None:
            apart = f", {self.ulps} unit{'s' * (self.ulps != 1)} in the last place apart"
        return f"{where}, {step}: {self.part}{place} was {self.recorded}, is {self.replayed}{apart}"

    def to_dict(self) -> dict[str, Any]:
        """All attributes, as JSON holds them."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayedEpisode:
    """One episode of a recording.

    Attributes:
        recording: The first file of the recording.
        number: The number of the episode in it, from 0.
        env_index: The sub-environment; None for a single environment.
        seed: What it was seeded with; None: nothing, or what came before.
        seeded: Whether it follows from a seed, its own or that of an episode before it. Where it
            does not, a difference may be chance.
        steps: How many steps of it were repeated.
        difference: The first difference; None: there is none.
        lost_options: Parts of the options of its reset that the recording does not have.
    """

    recording: str
    number: int
    env_index: int | None
    seed: int | None
    seeded: bool
    steps: int
    difference: Difference | None
    lost_options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What became of a recording in another environment.

    Attributes:
        contract_differences: What the contract of the environment differs in from the recorded one.
        refused: Why nothing was repeated; None: everything was.
        episodes: The episodes, in the order of the recordings and of their beginnings.
        ignored: The places in infos that differ and were not compared: the wall clock, and what
            RLMesh itself adds.
        damages: Where files end to be readable, as sentences.
        skipped_steps: How many steps were not repeated, because their episode has lost its
            beginning in the recording, or had differed before.
        tolerance: How far two floats were allowed to lie apart; None: each bit counted.
    """

    contract_differences: tuple[ContractDifference, ...]
    refused: str | None
    episodes: tuple[ReplayedEpisode, ...]
    ignored: tuple[str, ...]
    damages: tuple[str, ...]
    skipped_steps: int
    tolerance: float | None

    @property
    def same(self) -> bool:
        """Whether the environment did what was recorded in every episode, in the same spaces."""
        spaces = any("_space" in each.place for each in self.contract_differences)
        return self.refused is None and self.difference is None and not spaces

    @property
    def difference(self) -> Difference | None:
        """The first difference of an episode that follows from a seed, else of any, else None."""
        found = [each for each in self.episodes if each.difference is not None]
        found.sort(key=lambda each: not each.seeded)
        return found[0].difference if found else None

    def __str__(self) -> str:
        """It in a few lines."""
        return "\n".join(self._lines())

    def _lines(self) -> list[str]:
        lines = [f"The contracts differ: {each}" for each in self.contract_differences]
        if self.refused is not None:
            return [*lines, f"Nothing was repeated: {self.refused}"]
        count, steps = len(self.episodes), sum(each.steps for each in self.episodes)
        other = [each for each in self.episodes if each.difference is not None]
        lines.append(
            f"{count - len(other)} of {count} episodes are the same, in {steps} steps"
            + ("" if self.tolerance is None else f", with a tolerance of {self.tolerance:g}")
            + "."
        )
        if self.difference is not None:
            lines.append(f"The first difference: {self.difference}")
        unseeded = sum(not each.seeded for each in self.episodes)
        if unseeded:
            lines.append(
                f"{unseeded} episode{'s' * (unseeded > 1)} did not begin with a seed: a difference "
                f"there may be chance."
            )
        lost = [each.number for each in self.episodes if each.lost_options]
        if lost:
            lines.append(f"Options of resets were not kept whole: episodes {lost}.")
        if self.skipped_steps:
            lines.append(f"{self.skipped_steps} steps were not repeated.")
        if self.ignored:
            lines.append(f"Not compared in infos: {', '.join(self.ignored)}.")
        return [*lines, *self.damages]

    def to_dict(self) -> dict[str, Any]:
        """All attributes, as JSON holds them, and `same`."""
        return {
            "same": self.same,
            **asdict(self),
            "contract_differences": [each.to_dict() for each in self.contract_differences],
        }
