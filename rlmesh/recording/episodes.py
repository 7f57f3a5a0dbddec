"""Which episode and which step each call of a recording belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from rlmesh.codec.infos.packing import unpack
from rlmesh.codec.infos.type_guards import is_array, is_mapping, is_number, is_row
from rlmesh.contract import AutoresetMode
from rlmesh.recording.reading import Gap, RecordedCall, RecordedReset, RecordedStep, RecordingFiles


@dataclass(slots=True)
class Place:
    """Where a sub-environment is in a recording.

    Attributes:
        episode: The number of its episode among those of the recording, from 0 in the order of
            their beginnings.
        step: How many steps of the episode were taken.
        over: Whether it has ended.
        seeded: Whether it follows from a seed: its own, or that of an episode before it.
        begins: Whether the last call has begun it.
    """

    episode: int
    step: int = 0
    over: bool = False
    seeded: bool = False
    begins: bool = True


class EpisodeTracker:
    """Follows the calls of one recording.

    Args:
        files: The recording.

    Attributes:
        places: Where each sub-environment is; of a single environment the one. None before its
            first reset, and after calls that are missing.
        episodes: How many episodes have begun.
    """

    def __init__(self, files: RecordingFiles) -> None:
        self._vector = files.contract.vector
        self._mode = files.contract.autoreset_mode or AutoresetMode.NEXT_STEP
        self.places: list[Place | None] = [None] * (files.num_envs or 1)
        self.episodes: int = 0
        # Whether the random numbers follow from a seed.
        self._seeded = False
        # The sub-environments without a known place whose episode has just ended.
        self._ended: set[int] = set()

    def take(self, call: RecordedCall) -> None:
        """Takes the next call. Afterwards `places` says where each sub-environment is."""
        if isinstance(call, Gap):
            self.places = [None] * len(self.places)
            self._seeded = False
        elif isinstance(call, RecordedReset):
            self._reset(call)
        else:
            self._step(call)

    def _reset(self, call: RecordedReset) -> None:
        seeds = seeds_of(call, len(self.places))
        mask = reset_mask_of(call, len(self.places)) if self._vector else None
        if all(seed is not None for seed in seeds):
            self._seeded = True
        for index, seed in enumerate(seeds):
            if mask is None or mask[index]:
                self._begin(index, seeded=seed is not None or self._seeded)
            else:
                self._stay(index)

    def _step(self, call: RecordedStep) -> None:
        ends = [False] * len(self.places)
        if call.result is not None:
            flags = zip(call.result.terminations, call.result.truncations, strict=True)
            ends = [terminated or truncated for terminated, truncated in flags]
        for index, (place, end) in enumerate(zip(self.places, ends, strict=True)):
            if place is None:
                if self._vector and index in self._ended and not self._stays_over:
                    self._ended.discard(index)
                    self._begin(index, seeded=False)
                elif end:
                    self._ended.add(index)
                continue
            if place.over:
                place.begins = False
                if self._vector and not self._stays_over:
                    self._begin(index, seeded=place.seeded)
            else:
                place.begins = False
                place.step += 1
                place.over = end

    def follow_same_step(self) -> None:
        """Begins the episodes that begin with the step that ended those before them."""
        if self._vector and self._mode is AutoresetMode.SAME_STEP:
            for index, place in enumerate(self.places):
                if place is not None and place.over:
                    self._begin(index, seeded=place.seeded)

        if self._vector and self._mode is AutoresetMode.SAME_STEP:
            for index in sorted(self._ended):
                self._begin(index, seeded=False)

    @property
    def _stays_over(self) -> bool:
        return self._mode is not AutoresetMode.NEXT_STEP

    def _begin(self, index: int, *, seeded: bool) -> None:
        self._ended.discard(index)
        self.places[index] = Place(self.episodes, seeded=seeded)
        self.episodes += 1

    def _stay(self, index: int) -> None:
        place = self.places[index]
        if place is not None:
            place.begins = False


def seeds_of(call: RecordedReset, num_envs: int) -> list[Any]:
    """The seed of each sub-environment, as Gymnasium makes them of one; None: there is none.

    What is no integer, as an environment may have refused it, stands as it is.
    """
    seed = seed_of(call)
    if is_row(seed) or is_array(seed):
        each = [*seed] if not is_array(seed) or seed.ndim else []
        return each if len(each) == num_envs else [seed] * num_envs
    if whole_seed(seed) is not None:
        return [int(seed) + index for index in range(num_envs)]
    return [seed] * num_envs


def whole_seed(seed: object) -> int | None:
    """A seed as an integer; None where it is none."""
    if is_number(seed) and np.issubdtype(seed.dtype, np.integer):
        return int(seed)
    return int(seed) if isinstance(seed, int) else None


def seed_of(call: RecordedReset) -> Any:
    """What a reset was seeded with; None: nothing."""
    return unpack(call.call.seed) if call.call.seed else None


def options_of(call: RecordedReset) -> Any:
    """The options of a reset; None where there are none."""
    return unpack(call.call.options) if call.call.options else None


def reset_mask_of(call: RecordedReset, num_envs: int) -> Any:
    """Which sub-environments a reset concerns; None: all."""
    options = options_of(call)
    mask = options.get("reset_mask") if is_mapping(options) else None
    known = is_array(mask) and mask.shape == (num_envs,) and mask.dtype == np.bool_
    # A vector environment refuses every other one.
    return mask if known else None


def tracked(files: RecordingFiles) -> Iterator[tuple[RecordedCall, EpisodeTracker]]:
    """Each call, with a tracker that has taken it.

    Raises:
        InvalidArgumentError: What reading a recording raises.
    """
    tracker = EpisodeTracker(files)
    for call in files.calls():
        tracker.take(call)
        yield call, tracker
        tracker.follow_same_step()
