"""The command `compare`: two evaluations, seed by seed."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from rlmesh._cli.asking import as_json_option
from rlmesh._cli.failure import failures_on_one_line

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(short_help="Say whether one of two measured policies did better.")
@click.argument("a", metavar="A", type=_FILE)
@click.argument("b", metavar="B", type=_FILE)
@as_json_option
def compare(*, a: Path, b: Path, as_json: bool) -> None:
    """Compare the policies of two evaluations in the episodes that both have run.

    A and B are files that `rlmesh evaluate --json` wrote, with the same tasks and seeds. Exit
    codes: 0, also where one is better; 1 when they cannot be compared, 2 for wrong usage.
    """
    # It imports Gymnasium, which the other commands do without.
    import rlmesh

    with failures_on_one_line():
        found = rlmesh.compare(rlmesh.Evaluation.from_json(a), rlmesh.Evaluation.from_json(b))
    click.echo(json.dumps(asdict(found)) if as_json else str(found))
