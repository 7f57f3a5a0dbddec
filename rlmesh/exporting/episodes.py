"""Recordings, episode by episode: of vector environments, those of each sub-environment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from gymnasium.vector.utils import iterate

from rlmesh.codec.infos.packing import unpack_info
from rlmesh.codec.infos.type_guards import is_array, is_row
from rlmesh.codec.slab.layout import Layout, compile_layout
from rlmesh.contract import AutoresetMode
from rlmesh.errors import InvalidArgumentError
from rlmesh.recording.episodes import Place, options_of, seeds_of, tracked, whole_seed
from rlmesh.recording.reading import RecordedReset, RecordedStep, RecordingFiles
from rlmesh.spaces import to_gymnasium_space
from rlmesh.spaces.batching import batched_gymnasium_space
from rlmesh_api.v1 import session_pb2

_FINAL_OBS = "final_obs"


@dataclass(slots=True)
class WholeEpisode:
    """What happened in one episode.

    Attributes:
        recording: The first file of the recording.
        env_index: The sub-environment; None for a single environment.
        seed: What it was seeded with; None: nothing, or what came before.
        options: The options of its reset; None: there were none.
        observations: The observations, one more than there are steps.
        actions: The actions.
        rewards: The rewards.
        terminations: Whether each step terminated it.
        truncations: Whether each step truncated it.
    """

    recording: str
    env_index: int | None
    seed: int | None
    options: Any
    observations: list[Any] = field(default_factory=list[Any])
    actions: list[Any] = field(default_factory=list[Any])
    rewards: list[float] = field(default_factory=list[float])
    terminations: list[bool] = field(default_factory=list[bool])
    truncations: list[bool] = field(default_factory=list[bool])


class EpisodeReader:
    """Reads recordings, and holds one episode of each sub-environment in memory.

    Args:
        files: The recordings.

    Attributes:
        notes: What was left out, as sentences; whole once everything was read.

    Raises:
        InvalidArgumentError: If only digests of observations were kept.
    """

    def __init__(self, files: Sequence[RecordingFiles]) -> None:
        self._files = files
        self.notes: list[str] = []
        for each in files:
            if each.digest:
                raise InvalidArgumentError(
                    f"{each.paths[0]} has digests instead of observations, which cannot be "
                    f'exported; record with observations="all"'
                )

    def episodes(self) -> Iterator[WholeEpisode]:
        """The episodes, each as it ends; those without a step are left out.

        Raises:
            InvalidArgumentError: If a recording cannot be read.
        """
        for files in self._files:
            one = _OneReader(files)
            yield from one.episodes()
            self.notes += [str(damage) for damage in files.damages]
            if one.lost:
                self.notes.append(
                    f"{files.paths[0]}: {one.lost} steps were left out, because their episode has "
                    f"lost its beginning"
                )


class _OneReader:
    """Reads one recording."""

    def __init__(self, files: RecordingFiles) -> None:
        self._files = files
        num_envs = files.num_envs
        contract = files.contract
        self._observation: Layout = compile_layout(contract.observation_space, num_envs)
        self._action: Layout = compile_layout(contract.action_space, num_envs)
        self._spaces = [
            to_gymnasium_space(space)
            if num_envs is None
            else batched_gymnasium_space(space, num_envs)
            for space in (contract.observation_space, contract.action_space)
        ]
        self._open: dict[int, WholeEpisode] = {}
        self.lost = 0

    def episodes(self) -> Iterator[WholeEpisode]:
        """The episodes, each as it ends."""
        for call, tracker in tracked(self._files):
            if isinstance(call, RecordedReset):
                yield from self._reset(call, tracker.places)
            elif isinstance(call, RecordedStep):
                yield from self._step(call, tracker.places)
            else:
                yield from self._ended(list(self._open))
        yield from self._ended(list(self._open))

    def _reset(self, call: RecordedReset, places: list[Place | None]) -> Iterator[WholeEpisode]:
        begun = [index for index, place in enumerate(places) if place and place.begins]
        yield from self._ended([index for index in begun if index in self._open])
        if call.result is None:
            return
        observations = self._parts(0, self._observation.decode(call.result.observation))
        seeds, options = seeds_of(call, len(places)), options_of(call)
        for index in begun:
            self._begin(index, places[index], observations[index], seeds[index], options)

    def _step(self, call: RecordedStep, places: list[Place | None]) -> Iterator[WholeEpisode]:
        if call.result is None:
            return
        actions = self._parts(1, self._action.decode(call.action))
        observations = self._parts(0, self._observation.decode(call.result.observation))
        finals = self._finals(call.result, places)
        for index, place in enumerate(places):
            episode = self._open.get(index)
            if place is None:
                self.lost += 1
            elif place.begins:
                # The step has reset it.
                self._begin(index, place, observations[index], None, None)
            elif episode is not None:
                final = finals.get(index)
                episode.observations.append(observations[index] if final is None else final)
                episode.actions.append(actions[index])
                episode.rewards.append(call.result.rewards[index])
                episode.terminations.append(call.result.terminations[index])
                episode.truncations.append(call.result.truncations[index])
                if place.over:
                    yield from self._ended([index])
                if final is not None:
                    # The next one has begun with the same step.
                    self._begin(index, place, observations[index], None, None)

    def _finals(self, result: session_pb2.StepResult, places: list[Place | None]) -> dict[int, Any]:
        """The last observations of the episodes that ended in a step that began others."""
        mode = self._files.contract.autoreset_mode
        if mode is not AutoresetMode.SAME_STEP or not any(place and place.over for place in places):
            return {}
        finals = unpack_info(result.info).get(_FINAL_OBS, ()) if result.info else ()
        if not is_row(finals) and not is_array(finals):
            return {}
        return {
            index: finals[index]
            for index, place in enumerate(places)
            if place and place.over and index < len(finals) and finals[index] is not None
        }

    def _begin(
        self,
        index: int,
        place: Place | None,
        observation: Any,
        seed: Any,
        options: Any,
    ) -> None:
        if place is None:
            return
        self._open[index] = WholeEpisode(
            recording=str(self._files.paths[0]),
            env_index=None if self._files.num_envs is None else index,
            seed=whole_seed(seed),
            options=options,
            observations=[observation],
        )

    def _ended(self, indices: list[int]) -> Iterator[WholeEpisode]:
        for index in indices:
            episode = self._open.pop(index)
            if episode.actions:
                yield episode

    def _parts(self, which: int, value: Any) -> list[Any]:
        """The value of each sub-environment."""
        if self._files.num_envs is None:
            return [value]
        return list(iterate(self._spaces[which], value))
