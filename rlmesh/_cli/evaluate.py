"""The command `evaluate`: measures a policy."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import click

from rlmesh._cli import arguments
from rlmesh._cli.asking import credential_options, timeout_option, tls_of
from rlmesh._cli.failure import failures_on_one_line
from rlmesh._cli.options import LOADING_OPTIONS, VERBOSE, with_options, with_render_mode

_OUTPUT = click.Path(dir_okay=False, path_type=Path)


def _latency(
    ctx: click.Context, param: click.Parameter, value: str
) -> Literal["frozen", "measured"] | float:
    words: dict[str, Literal["frozen", "measured"]] = {"frozen": "frozen", "measured": "measured"}
    if value in words:
        return words[value]
    try:
        seconds = float(value)
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is neither frozen, nor measured, nor a number of seconds",
            ctx=ctx,
            param=param,
        ) from None
    arguments.seconds(ctx, param, seconds)
    return seconds


# No id, address or callable has such a beginning.
_NAMED = re.compile(r"([\w .-]+)=(.+)")


def _tasks(
    ctx: click.Context, param: click.Parameter, value: tuple[str, ...]
) -> Mapping[str, Sequence[str]]:
    """The environments of each task; without names there is one task, whose name is empty."""
    found: dict[str, list[str]] = {}
    for each in value:
        named = _NAMED.fullmatch(each)
        task, env = named.groups() if named else ("", each)
        found.setdefault(task, []).append(env)
    if "" in found and len(found) > 1:
        raise click.BadParameter(
            f"{found[''][0]} has no name and others have; give each as NAME=ENV, or none",
            ctx=ctx,
            param=param,
        )
    return found


@click.command(short_help="Measure a policy: run it in environments, each seed once.")
@click.argument("envs", metavar="[NAME=]ENV...", nargs=-1, required=True, callback=_tasks)
@click.option(
    "--policy",
    metavar="POLICY",
    required=True,
    help="A callable of an observation, or an object with predict, as module:callable; or the "
    "address of a model.",
)
@click.option(
    "--episodes",
    metavar="N",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="How many episodes to run; their seeds are 0, 1, 2 and so on.",
)
@click.option(
    "--first-seed",
    metavar="N",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Begin with this seed instead of 0.",
)
@click.option(
    "--workers",
    metavar="N",
    type=click.IntRange(min=1),
    help="How many environments to drive at once. Default: one for each ENV.",
)
@click.option(
    "--success",
    type=click.Choice(["end", "any"]),
    default="end",
    show_default=True,
    help="Whether the last step, or any, must say success in its info.",
)
@click.option(
    "--max-steps",
    metavar="N",
    type=click.IntRange(min=1),
    help="End an episode after so many steps. Default: the environment alone ends it.",
)
@click.option(
    "--latency",
    metavar="LATENCY",
    default="frozen",
    show_default=True,
    callback=_latency,
    help="frozen: the world waits for the policy. measured, or a number of seconds: it goes on for "
    "so long, and the last action is held.",
)
@click.option(
    "--record",
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep what happens in files of this folder, which `rlmesh replay` repeats.",
)
@click.option(
    "--video",
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write a video of each episode into this folder, of what the environment renders.",
)
@click.option(
    "--resume",
    metavar="FILE",
    type=_OUTPUT,
    help="Keep each episode in this file as it ends, and run only those that it has not.",
)
@click.option("--json", "json_file", metavar="FILE", type=_OUTPUT, help="Write the result as JSON.")
@click.option("--csv", "csv_file", metavar="FILE", type=_OUTPUT, help="Write the episodes as CSV.")
@click.option(
    "--plot", "plot_file", metavar="FILE", type=_OUTPUT, help="Draw the result, .png or .svg."
)
@with_options(*LOADING_OPTIONS, timeout_option, *credential_options)
@VERBOSE
def evaluate(
    *,
    envs: Mapping[str, Sequence[str]],
    policy: str,
    first_seed: int,
    episodes: int,
    kwargs: dict[str, Any],
    render_mode: str | None,
    json_file: Path | None,
    csv_file: Path | None,
    plot_file: Path | None,
    timeout: float,
    token: str | None,
    insecure: bool,
    verbose: bool,
    **given: Any,
) -> None:
    """Measure a policy: run it in ENV, each seed once, and show how it did.

    ENV is the address of a served environment, single or vector, or where addresses stand
    (file:PATH, dns:NAME:PORT); or an environment as `rlmesh serve` takes it. Several share the
    seeds. Those with a NAME are tasks: each is run with all seeds, and several of one name share
    them. The result does not depend on how many run at once.

    Ctrl-C ends it early, and shows and writes what is done. Exit codes: 0 when all episodes were
    run; 1 when something failed, the signal came first or all episodes ended with an error; 2 for
    wrong usage.
    """
    for file in (json_file, csv_file, plot_file, given["resume"]):
        if file is not None and not file.absolute().parent.is_dir():
            raise click.UsageError(f"There is no folder {file.parent} for {file.name}.")
    # Gymnasium takes its time to import, and the other commands do without it.
    from rlmesh._cli.evaluation import EvaluationRequest, run_evaluation

    if verbose:
        logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
        logging.getLogger("rlmesh").setLevel(logging.INFO)
    tls = {name: given.pop(name) for name in list(given) if name.startswith("tls")}
    request = EvaluationRequest(
        envs=envs,
        policy=policy,
        seeds=range(first_seed, first_seed + episodes),
        kwargs=with_render_mode(kwargs, render_mode),
        json_file=json_file,
        csv_file=csv_file,
        plot_file=plot_file,
        timeout=timeout,
        token=token,
        tls=tls_of(**tls),
        insecure=insecure,
        **given,
    )
    with failures_on_one_line(verbose=verbose):
        whole = run_evaluation(request)
    sys.exit(0 if whole else 1)
