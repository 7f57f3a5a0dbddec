"""A video for each camera and episode."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rlmesh.codec.slab.layout import compile_layout
from rlmesh.codec.slab.leaves import Leaf
from rlmesh.codec.slab.structure import compile_flatten
from rlmesh.errors import InvalidArgumentError
from rlmesh.exporting.episodes import EpisodeReader
from rlmesh.recording.reading import RecordingFiles
from rlmesh.recording.video import VideoWriter, check_encoder, rate_of
from rlmesh_api.contract import BoxSpace

_LEAST = 8
"""The least height and width of what is taken for an image."""


def write_videos(files: list[RecordingFiles], folder: Path, fps: float | None) -> list[str]:
    """Writes videos into a folder; returns what was left out.

    Args:
        files: The recordings, all with the same spaces.
        folder: The folder, made where there is none.
        fps: Frames per second; None: what the environment's metadata says as `render_fps`, else
            30.

    Raises:
        InvalidArgumentError: If no part of an observation is an image, or a recording cannot be
            read.
        StateError: If imageio-ffmpeg is not installed.
        OSError: If a file cannot be written.
    """
    contract = files[0].contract
    layout = compile_layout(contract.observation_space)
    flatten = compile_flatten(contract.observation_space)
    cameras = [(number, leaf) for number, leaf in enumerate(layout.leaves) if _is_image(leaf)]
    if not cameras:
        places = ", ".join(f"{leaf.path} {leaf.dtype}{list(leaf.shape)}" for leaf in layout.leaves)
        raise InvalidArgumentError(
            f"no part of an observation is an image: a Box of uint8 of the shape (height, width) "
            f"or (height, width, 1, 3 or 4), {_LEAST} pixels wide and high at least; there are "
            f"{places}"
        )
    check_encoder()
    rate = fps or rate_of(contract.metadata)
    folder.mkdir(parents=True, exist_ok=True)
    reader = EpisodeReader(files)
    for count, episode in enumerate(reader.episodes()):
        leaves = [flatten(observation) for observation in episode.observations]
        for number, leaf in cameras:
            word = re.sub(r"[^\w-]+", "-", leaf.path.removeprefix("$")).strip("-") or "camera"
            path = folder / f"episode-{count:05}-{word}.mp4"
            if path.exists():
                raise InvalidArgumentError(f"{path} exists already; give another folder")
            _write(path, (parts[number] for parts in leaves), rate)
    return [
        *reader.notes,
        "a video is not lossless: colours are those of H.264 with 4:2:0",
        "everything but the cameras is not in the videos",
    ]


def _is_image(leaf: Leaf) -> bool:
    shape = leaf.shape
    return (
        isinstance(leaf.space, BoxSpace)
        and leaf.dtype == np.uint8
        and (len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3, 4)))
        and min(shape[:2]) >= _LEAST
    )


def _write(path: Path, frames: Iterator[Any], rate: float) -> None:
    video = VideoWriter(path, rate)
    try:
        for frame in frames:
            video.add(frame)
        video.close()
    finally:
        video.abandon()
