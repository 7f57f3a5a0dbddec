"""What is in a recording, in numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rlmesh.recording.container import Damage
from rlmesh.recording.episodes import Place, seeds_of, tracked, whole_seed
from rlmesh.recording.reading import RecordedReset, RecordedStep, RecordingFiles


@dataclass(slots=True, kw_only=True)
class EpisodeSummary:
    """One episode of a recording.

    Attributes:
        number: Its number in the recording, from 0.
        env_index: Its sub-environment; None for a single environment.
        seed: What it was seeded with; None: nothing, or what came before.
        seeded: Whether it follows from a seed.
        steps: How many steps it has.
        total_reward: The sum of its rewards.
        ending: `terminated`, `truncated`, `error`, or `unfinished`.
        error: Why it failed; None where it did not.
    """

    number: int
    env_index: int | None
    seed: Any
    seeded: bool
    steps: int = 0
    total_reward: float = 0.0
    ending: str = "unfinished"
    error: str | None = None


@dataclass(slots=True, kw_only=True)
class RecordingSummary:
    """A recording.

    Attributes:
        files: Its files.
        steps: How many steps the environment took.
        episodes: The episodes, in the order of their beginnings.
        without_beginning: How many steps stand there whose episode has lost its beginning.
        damages: Where files end to be readable.
    """

    files: RecordingFiles
    steps: int
    episodes: list[EpisodeSummary]
    without_beginning: int
    damages: list[Damage]


def summarize(files: RecordingFiles) -> RecordingSummary:
    """Reads a recording to its end.

    Raises:
        InvalidArgumentError: What reading a recording raises.
    """
    found: list[EpisodeSummary] = []
    steps = lost = 0
    vector = files.contract.vector
    for call, tracker in tracked(files):
        if isinstance(call, RecordedReset):
            seeds = seeds_of(call, len(tracker.places))
            _add(found, tracker.places, seeds, vector=vector)
            if call.failure is not None:
                for place in tracker.places:
                    if place is not None and place.begins:
                        found[place.episode].ending = "error"
                        found[place.episode].error = call.failure.message
        elif isinstance(call, RecordedStep):
            steps += 1
            _add(found, tracker.places, [None] * len(tracker.places), vector=vector)
            lost += sum(place is None for place in tracker.places)
            for index, place in _moved(tracker.places):
                _note(found[place.episode], place, call, index)
    return RecordingSummary(
        files=files,
        steps=steps,
        episodes=found,
        without_beginning=lost,
        damages=list(files.damages),
    )


def _add(
    found: list[EpisodeSummary], places: list[Place | None], seeds: list[Any], *, vector: bool
) -> None:
    """Adds the episodes that are not there yet."""
    new = [
        EpisodeSummary(
            number=place.episode,
            env_index=index if vector else None,
            seed=whole_seed(seeds[index]) if place.begins else None,
            seeded=place.seeded,
        )
        for index, place in enumerate(places)
        if place is not None and place.episode >= len(found)
    ]
    found += sorted(new, key=lambda episode: episode.number)


def _moved(places: list[Place | None]) -> Iterator[tuple[int, Place]]:
    for index, place in enumerate(places):
        if place is not None and not place.begins:
            yield index, place


def _note(episode: EpisodeSummary, place: Place, call: RecordedStep, index: int) -> None:
    if place.step == episode.steps:
        return  # its episode was over before
    episode.steps = place.step
    if call.result is None:
        episode.ending = "error"
        episode.error = call.failure.message if call.failure is not None else None
        return
    episode.total_reward += call.result.rewards[index]
    if place.over:
        terminated = call.result.terminations[index]
        episode.ending = "terminated" if terminated else "truncated"
