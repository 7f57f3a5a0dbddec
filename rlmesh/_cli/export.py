"""The command `export`: a recording in another format."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from rlmesh._cli.failure import failures_on_one_line
from rlmesh.foreign_text import one_line


@click.command(short_help="Write a recording in another format.")
@click.argument("file", metavar="FILE", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--to",
    type=click.Choice(["minari", "lerobot", "csv", "video"]),
    required=True,
    help="The format: a data set of Minari or of LeRobot, a table of steps, or a video for each "
    "camera and episode.",
)
@click.option(
    "--out",
    metavar="OUT",
    required=True,
    help="Where: the id of the data set (cartpole/test-v0), a file, or a folder for videos or for "
    "LeRobot. What exists is not overwritten.",
)
@click.option(
    "--fps",
    metavar="NUMBER",
    type=click.FloatRange(min=0, min_open=True),
    help="Frames per second of videos, and steps per second for LeRobot. Default: what the "
    "environment says, else 30.",
)
def export(
    *,
    file: Path,
    to: Literal["minari", "lerobot", "csv", "video"],
    out: str,
    fps: float | None,
) -> None:
    """Write FILE, a recording or a folder of recordings of one environment, in another format.

    Vector environments are written episode by episode. What a format cannot hold is left out, and
    standard error says so. Exit codes: 0; 1 when it cannot be written, 2 for wrong usage.
    """
    # It imports Gymnasium, which other commands do without.
    from rlmesh.exporting.exporting import export as write

    with failures_on_one_line():
        for note in write(file, to, out, fps=fps):
            click.echo(one_line(note), err=True)
