"""A table of steps, a row each."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rlmesh.codec.slab.layout import compile_layout
from rlmesh.codec.slab.leaves import Leaf
from rlmesh.codec.slab.structure import compile_flatten
from rlmesh.exporting.episodes import EpisodeReader, WholeEpisode
from rlmesh.recording.reading import RecordingFiles
from rlmesh_api.contract import Space, TextSpace

_MOST = 256
"""A leaf with more elements has no columns."""


def write_csv(files: list[RecordingFiles], path: Path) -> list[str]:
    """Writes the steps of recordings of one environment; returns what was left out.

    Floats are written so that reading them gives the same bits.

    Args:
        files: The recordings, all with the same spaces.
        path: The file, which must not exist.

    Raises:
        InvalidArgumentError: If a recording cannot be read.
        OSError: If the file cannot be written.
    """
    contract = files[0].contract
    reader = EpisodeReader(files)
    before = _Columns("observation", contract.observation_space)
    acted = _Columns("action", contract.action_space)
    after = _Columns("next_observation", contract.observation_space)
    fixed = ["recording", "episode", "sub_environment", "seed", "step"]
    results = ["reward", "terminated", "truncated"]
    with path.open("x", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*fixed, *before.names, *acted.names, *results, *after.names])
        for number, episode in enumerate(reader.episodes()):
            for row in _rows(episode):
                step, reward, terminated, truncated = row
                index = "" if episode.env_index is None else episode.env_index
                seed = "" if episode.seed is None else episode.seed
                writer.writerow(
                    [
                        *(episode.recording, number, index, seed, step + 1),
                        *before.cells(episode.observations[step]),
                        *acted.cells(episode.actions[step]),
                        *(repr(reward), int(terminated), int(truncated)),
                        *after.cells(episode.observations[step + 1]),
                    ]
                )
    left_out = [*before.left_out, *acted.left_out]
    return [*reader.notes, *left_out, "infos are not in the table"]


def _rows(episode: WholeEpisode) -> Iterator[tuple[int, float, bool, bool]]:
    columns = (episode.rewards, episode.terminations, episode.truncations)
    for step, row in enumerate(zip(*columns, strict=True)):
        yield (step, *row)


class _Columns:
    """The columns of a space."""

    def __init__(self, name: str, space: Space) -> None:
        layout = compile_layout(space)
        self._flatten = compile_flatten(space)
        self._kept = [leaf.count <= _MOST for leaf in layout.leaves]
        self.names = [
            column
            for leaf, kept in zip(layout.leaves, self._kept, strict=True)
            if kept
            for column in _names(name, leaf)
        ]
        self.left_out = [
            f"{name} {leaf.path} is not in the table: it has {leaf.count} elements, more than "
            f"{_MOST}"
            for leaf, kept in zip(layout.leaves, self._kept, strict=True)
            if not kept
        ]

    def cells(self, value: Any) -> list[Any]:
        """The cells of a value."""
        found: list[Any] = []
        for part, kept in zip(self._flatten(value), self._kept, strict=True):
            if not kept:
                continue
            if isinstance(part, str):
                found.append(part)
            else:
                found += [repr(element) for element in np.asarray(part).reshape(-1).tolist()]
        return found


def _names(name: str, leaf: Leaf) -> list[str]:
    place = f"{name}{leaf.path.removeprefix('$')}"
    if isinstance(leaf.space, TextSpace) or not leaf.shape:
        return [place]
    return [f"{place}{list(index)}" for index in np.ndindex(leaf.shape)]
