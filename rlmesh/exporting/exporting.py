"""Writes recordings in another format."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, TypeAlias

from rlmesh.errors import InvalidArgumentError
from rlmesh.exporting.csv_files import write_csv
from rlmesh.exporting.lerobot_data import write_lerobot
from rlmesh.exporting.minari_data import write_minari
from rlmesh.exporting.videos import write_videos
from rlmesh.recording.reading import open_recordings

Format: TypeAlias = Literal["minari", "lerobot", "csv", "video"]


def export(
    path: str | os.PathLike[str], to: Format, out: str, *, fps: float | None = None
) -> list[str]:
    """Writes the recordings at a path in another format; returns what was left out, as sentences.

    Args:
        path: A recording, or a folder of recordings of one environment.
        to: The format.
        out: Where: the id of a data set for `minari`, a file for `csv`, a folder for `lerobot`
            and `video`.
        fps: Frames per second of videos, and steps per second of `lerobot`; None: what the
            environment says, else 30.

    Raises:
        InvalidArgumentError: If a recording cannot be read, those of a folder have other spaces
            than each other, or they cannot be written in that format.
        StateError: If a package is not installed.
        OSError: If something cannot be written.
    """
    files = open_recordings(path)
    first = files[0].contract
    for each in files[1:]:
        contract = each.contract
        spaces = (contract.observation_space, contract.action_space)
        if spaces != (first.observation_space, first.action_space):
            raise InvalidArgumentError(
                f"{each.paths[0]} has other spaces than {files[0].paths[0]}; export each by itself"
            )
    if to == "minari":
        return write_minari(files, out)
    if to == "lerobot":
        return write_lerobot(files, Path(out), fps)
    if to == "csv":
        return write_csv(files, Path(out))
    return write_videos(files, Path(out), fps)
