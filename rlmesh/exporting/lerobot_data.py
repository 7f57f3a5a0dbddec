"""A data set of LeRobot."""

from __future__ import annotations

import importlib
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from rlmesh.codec.slab.layout import compile_layout
from rlmesh.codec.slab.leaves import Leaf
from rlmesh.codec.slab.structure import compile_flatten
from rlmesh.errors import InvalidArgumentError, StateError
from rlmesh.exporting.episodes import EpisodeReader, WholeEpisode
from rlmesh.recording.reading import RecordingFiles
from rlmesh.recording.video import rate_of
from rlmesh_api.contract import BoxSpace, Space, TextSpace

_MOST_DIMENSIONS = 5
"""What a column of LeRobot holds at most."""


def write_lerobot(files: list[RecordingFiles], folder: Path, fps: float | None) -> list[str]:
    """Writes a data set into a folder; returns what was left out.

    Images are stored as PNG, so their bits stay, as those of all other values do.

    Args:
        files: The recordings, all with the same spaces.
        folder: The folder, which must not exist.
        fps: Steps per second; None: what the environment's metadata says as `render_fps`, else 30.

    Raises:
        InvalidArgumentError: If the folder exists, or a recording cannot be read.
        StateError: If LeRobot is not installed.
        OSError: If something cannot be written.
    """
    try:
        module: Any = importlib.import_module("lerobot.datasets.lerobot_dataset")
    except ImportError as error:
        raise StateError(
            f"data sets of LeRobot are written by its own package, and importing that fails "
            f"({error}); pip install 'rlmesh[lerobot]'"
        ) from error
    if folder.exists():
        raise InvalidArgumentError(f"{folder} exists already; give another folder")
    contract = files[0].contract
    rate = fps or rate_of(contract.metadata)
    reader = EpisodeReader(files)
    observed = _Columns("observation", contract.observation_space)
    acted = _Columns("action", contract.action_space)
    task = contract.id or "unnamed"
    importlib.import_module("datasets").disable_progress_bars()
    with warnings.catch_warnings():
        # It counts flags as numbers, and says so.
        warnings.simplefilter("ignore", RuntimeWarning)
        data: Any = module.LeRobotDataset.create(
            f"local/{folder.name}",
            fps=max(1, round(rate)),
            features={**observed.features, **acted.features, **_RESULTS},
            root=folder,
            use_videos=False,
        )
        for episode in reader.episodes():
            for step in range(len(episode.actions)):
                frame = {
                    **observed.values(episode.observations[step]),
                    **acted.values(episode.actions[step]),
                    **_results(episode, step),
                }
                data.add_frame({**frame, "task": task})
            data.save_episode()
        data.finalize()
    rounded = [f"{rate} steps a second are {round(rate)} there"] if rate != round(rate) else []
    return [
        *reader.notes,
        *observed.left_out,
        *acted.left_out,
        *rounded,
        "the last observation of each episode is not in the data set",
        "seeds, options and infos are not in the data set",
        "LeRobot itself gives floats of 64 bits as 32",
    ]


_RESULTS: dict[str, dict[str, Any]] = {
    "next.reward": {"dtype": "float64", "shape": (1,), "names": None},
    "next.done": {"dtype": "bool", "shape": (1,), "names": None},
    "next.truncated": {"dtype": "bool", "shape": (1,), "names": None},
}


def _results(episode: WholeEpisode, step: int) -> dict[str, Any]:
    terminated, truncated = episode.terminations[step], episode.truncations[step]
    return {
        "next.reward": np.array([episode.rewards[step]], np.float64),
        "next.done": np.array([terminated or truncated]),
        "next.truncated": np.array([truncated]),
    }


class _Columns:
    """The columns of a space, one for each leaf."""

    def __init__(self, name: str, space: Space) -> None:
        leaves = compile_layout(space).leaves
        self._flatten = compile_flatten(space)
        self._names: list[str | None] = []
        self.features: dict[str, dict[str, Any]] = {}
        self.left_out: list[str] = []
        for leaf in leaves:
            if len(leaf.shape) > _MOST_DIMENSIONS or 0 in leaf.shape:
                self.left_out.append(f"{name} {leaf.path} is not in the data set: {leaf.shape}")
                self._names.append(None)
                continue
            column = _name(name, leaf)
            if column in self.features:
                raise InvalidArgumentError(
                    f"two parts of the {name} would be the column {column} of a data set of "
                    f"LeRobot; one of them is {leaf.path}"
                )
            self._names.append(column)
            self.features[column] = _feature(leaf)

    def values(self, value: Any) -> dict[str, Any]:
        """The cells of a value."""
        return {
            name: part if isinstance(part, str) else np.atleast_1d(np.asarray(part))
            for name, part in zip(self._names, self._flatten(value), strict=True)
            if name is not None
        }


def _name(name: str, leaf: Leaf) -> str:
    """As LeRobot's policies look for it."""
    word = re.sub(r"[^\w-]+", ".", leaf.path.removeprefix("$")).strip(".")
    if _is_image(leaf):
        return f"{name}.images.{word}" if word else f"{name}.image"
    if word:
        return f"{name}.{word}"
    return f"{name}.state" if name == "observation" else name


def _feature(leaf: Leaf) -> dict[str, Any]:
    if isinstance(leaf.space, TextSpace):
        return {"dtype": "string", "shape": (1,), "names": None}
    if _is_image(leaf):
        return {"dtype": "image", "shape": leaf.shape, "names": ["height", "width", "channels"]}
    return {"dtype": np.dtype(leaf.dtype).name, "shape": leaf.shape or (1,), "names": None}


def _is_image(leaf: Leaf) -> bool:
    if not isinstance(leaf.space, BoxSpace) or leaf.dtype != np.uint8 or len(leaf.shape) != 3:
        return False
    height, _, channels = leaf.shape
    # LeRobot takes three rows for three channels, and turns the image round.
    return channels == 3 and height != 3
