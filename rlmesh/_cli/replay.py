"""The command `replay`: whether an environment still does what was recorded."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import click

from rlmesh._cli.asking import as_json_option, credential_options, timeout_option, tls_of
from rlmesh._cli.failure import failures_on_one_line
from rlmesh._cli.loading import EnvRequest, load
from rlmesh._cli.options import LOADING_OPTIONS, VERBOSE, with_options, with_render_mode
from rlmesh.foreign_text import paragraphs

DIFFERENT = 1
_FAILED = 2


@click.command(short_help="Say whether an environment does what was recorded.")
@click.argument("file", metavar="FILE", type=click.Path(exists=True, path_type=Path))
@click.argument("env", metavar="ENV")
@click.option(
    "--tolerance",
    metavar="NUMBER",
    type=click.FloatRange(min=0),
    help="How far two floats may lie apart, absolutely or in relation to the recorded one. "
    "Default: each bit counts.",
)
@click.option(
    "--ignore",
    metavar="PLACE",
    multiple=True,
    help="A place in infos that is not compared, $.seconds for instance. May be given repeatedly.",
)
@with_options(as_json_option, *LOADING_OPTIONS, timeout_option, *credential_options)
@VERBOSE
def replay(
    *,
    file: Path,
    env: str,
    tolerance: float | None,
    ignore: tuple[str, ...],
    as_json: bool,
    kwargs: dict[str, Any],
    render_mode: str | None,
    imports: tuple[str, ...],
    timeout: float,
    token: str | None,
    insecure: bool,
    verbose: bool,
    **tls: Any,
) -> None:
    """Repeat the recording FILE in ENV, and name the first difference.

    FILE is a recording, or a folder of recordings. ENV is the address of a served environment,
    tcp://HOST:PORT, or an environment as `rlmesh serve` takes it.

    Exit codes: 0 when everything is the same, 1 when something differs, 2 when it cannot be
    repeated and for wrong usage.
    """
    # They import Gymnasium, which the other commands do without.
    from rlmesh.recording.reading import open_recordings
    from rlmesh.replaying.replaying import replay_with

    options = {
        "connect_timeout_seconds": timeout,
        "token": token,
        "tls": tls_of(**tls),
        "insecure": insecure,
    }
    with failures_on_one_line(verbose=verbose, exit_code=_FAILED):
        given: Any = env
        if "://" not in env:
            contract = open_recordings(file)[0].contract
            request = EnvRequest(
                name=env,
                kwargs=with_render_mode(kwargs, render_mode),
                imports=imports,
                num_envs=contract.num_envs if contract.vector else None,
            )
            given = partial(load, request)
        found = replay_with(options, file, given, tolerance=tolerance, ignore=ignore)
    click.echo(json.dumps(found.to_dict()) if as_json else paragraphs(str(found)))
    sys.exit(0 if found.same else DIFFERENT)
