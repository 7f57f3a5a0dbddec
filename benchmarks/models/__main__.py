"""`python -m benchmarks.models`: measures, prints the tables, and writes what it is asked to."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import click

from benchmarks.machine import Machine
from benchmarks.models import episodes
from benchmarks.models.catalogue import CONTENDERS
from benchmarks.models.installing import install
from benchmarks.models.processes import take_turns
from benchmarks.models.report import block, publish
from benchmarks.models.results import CROWD, LONE, ModelRun
from benchmarks.models.task import CLIENTS, NOTHING, SLOW

_EPISODES = "episodes"
_WORKLOADS = {LONE: (NOTHING, 1), CROWD: (SLOW, CLIENTS)}


@click.command()
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1), help="Turns each.")
@click.option(
    "--seconds",
    default=1.0,
    show_default=True,
    type=click.FloatRange(0, min_open=True),
    help="How long a turn is.",
)
@click.option(
    "--workload",
    "workloads",
    multiple=True,
    type=click.Choice([*_WORKLOADS, _EPISODES]),
    help="What is measured; may be given repeatedly. Default: everything.",
)
@click.option(
    "--contender",
    "contenders",
    multiple=True,
    type=click.Choice(list(CONTENDERS)),
    help="A contender; may be given repeatedly. Default: all.",
)
@click.option(
    "--peers",
    type=click.Path(file_okay=False, path_type=Path),
    help="A folder of virtual environments: what a contender needs is installed there.",
)
@click.option(
    "--python",
    "pythons",
    multiple=True,
    metavar="CONTENDER=INTERPRETER",
    help="The Python that a contender is installed for. Default: this one.",
)
@click.option(
    "--add-to",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file of raw results: what is measured joins what it has, and is written there.",
)
@click.option("--publish", "publishes", is_flag=True, help="Write the numbers into docs/.")
def main(
    rounds: int,
    seconds: float,
    workloads: tuple[str, ...],
    contenders: tuple[str, ...],
    peers: Path | None,
    pythons: tuple[str, ...],
    add_to: Path | None,
    publishes: bool,
) -> None:
    """Measures a served model beside other ways to serve one."""
    # The end by SIGTERM is that by Ctrl-C: every context is left, so that every process ends.
    signal.signal(signal.SIGTERM, _leave)
    chosen = [key for key in CONTENDERS if key in (contenders or CONTENDERS)]
    given = dict(_pair(each) for each in pythons)
    interpreters, missing = dict[str, str](), dict[str, str]()
    if peers is not None:
        needed = [CONTENDERS[key] for key in chosen if key not in given]
        interpreters, missing = install(peers, needed)
    interpreters |= given
    run = ModelRun(Machine.here(), rounds, seconds)
    if add_to is not None and add_to.exists():
        run = ModelRun.from_json(add_to.read_text())
    for name in workloads or (*_WORKLOADS, _EPISODES):
        if name == _EPISODES:
            run.hidden, run.reloads = episodes.hide(), episodes.reload()
            continue
        model, count = _WORKLOADS[name]
        turns, absent = take_turns(
            [key for key in chosen if key not in missing],
            model,
            count,
            rounds,
            seconds,
            interpreters,
        )
        run.turns[name], run.absent[name] = turns, missing | absent
    if add_to is not None:
        add_to.write_text(run.to_json())
    print(block(run))
    if publishes:
        publish(run)


def _leave(number: int, _: object) -> None:
    sys.exit(128 + number)


def _pair(given: str) -> tuple[str, str]:
    name, _, interpreter = given.partition("=")
    if name not in CONTENDERS or not interpreter:
        raise click.UsageError(
            f"--python {given!r}: expected CONTENDER=INTERPRETER, with one of "
            f"{', '.join(CONTENDERS)}"
        )
    return name, interpreter


if __name__ == "__main__":
    main()
