"""A video for each camera and episode, encoded as H.264 by FFmpeg."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rlmesh.codec.slab.layout import compile_layout
from rlmesh.codec.slab.leaves import Leaf
from rlmesh.codec.slab.structure import compile_flatten
from rlmesh.errors import InvalidArgumentError, StateError
from rlmesh.exporting.episodes import EpisodeReader
from rlmesh.recording.reading import RecordingFiles
from rlmesh_api.contract import BoxSpace

_LEAST = 8
"""The least height and width of what is taken for an image."""
_DEFAULT_RATE = 30.0


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
    try:
        encoder: Any = importlib.import_module("imageio_ffmpeg")
    except ImportError as error:
        raise StateError(
            "videos are encoded by imageio-ffmpeg, which is not installed; "
            "pip install imageio-ffmpeg"
        ) from error
    rate = fps or _rate(contract.metadata.get("render_fps"))
    folder.mkdir(parents=True, exist_ok=True)
    reader = EpisodeReader(files)
    for count, episode in enumerate(reader.episodes()):
        leaves = [flatten(observation) for observation in episode.observations]
        for number, leaf in cameras:
            word = re.sub(r"[^\w-]+", "-", leaf.path.removeprefix("$")).strip("-") or "camera"
            path = folder / f"episode-{count:05}-{word}.mp4"
            if path.exists():
                raise InvalidArgumentError(f"{path} exists already; give another folder")
            frames = (_frame(parts[number]) for parts in leaves)
            _encode(encoder, path, frames, leaf, rate)
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


def _rate(declared: object) -> float:
    known = isinstance(declared, int | float) and declared > 0
    return float(declared) if known and isinstance(declared, int | float) else _DEFAULT_RATE


def _frame(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """An image as RGB with an even height and width, as the encoder needs it."""
    if image.ndim == 2:
        image = image[..., None]
    rgb = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image[..., :3]
    height, width = rgb.shape[:2]
    return np.ascontiguousarray(np.pad(rgb, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge"))


def _encode(
    encoder: Any, path: Path, frames: Iterator[npt.NDArray[np.uint8]], leaf: Leaf, rate: float
) -> None:
    height, width = (length + length % 2 for length in leaf.shape[:2])
    writer = encoder.write_frames(
        str(path),
        (width, height),
        fps=rate,
        codec="libx264",
        pix_fmt_out="yuv420p",
        macro_block_size=2,
        output_params=["-crf", "18"],
        ffmpeg_log_level="error",
    )
    writer.send(None)
    try:
        for frame in frames:
            writer.send(frame.tobytes())
    finally:
        writer.close()
