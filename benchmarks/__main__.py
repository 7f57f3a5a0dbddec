"""`python -m benchmarks`: measures, prints the tables, and writes what it is asked to."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import click
from rich.console import Console

from benchmarks import publishing
from benchmarks.contenders.catalogue import CONTENDERS
from benchmarks.crowd import measure_crowd
from benchmarks.machine import Machine
from benchmarks.measuring import measure
from benchmarks.processes import DriverError
from benchmarks.report import pages_block
from benchmarks.results import Run
from benchmarks.workloads import WORKLOADS

_CROWD = "crowd"


@click.command()
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1), help="Turns each.")
@click.option(
    "--seconds",
    default=0.5,
    show_default=True,
    type=click.FloatRange(0, min_open=True),
    help="How long a turn is.",
)
@click.option(
    "--workload",
    "workloads",
    multiple=True,
    type=click.Choice([*WORKLOADS, _CROWD]),
    help="What is stepped; may be given repeatedly. Default: everything.",
)
@click.option(
    "--contender",
    "contenders",
    multiple=True,
    type=click.Choice(list(CONTENDERS)),
    help="A contender; may be given repeatedly. Default: all.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="A folder for the tables, the plot and the raw results.",
)
@click.option("--publish", is_flag=True, help="Write the numbers into docs/ and README.md.")
@click.option(
    "--from",
    "source",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Measure nothing; report the raw results of a run.",
)
def main(
    rounds: int,
    seconds: float,
    workloads: tuple[str, ...],
    contenders: tuple[str, ...],
    output: Path | None,
    publish: bool,
    source: Path | None,
) -> None:
    """Measures a remote step beside a local one, and beside what it is compared with.

    The exit code is 1 if a contender failed; one that is not installed is only reported.
    """
    # The end by SIGTERM is that by Ctrl-C: every context is left, so that every process ends.
    signal.signal(signal.SIGTERM, _leave)
    if publish and (workloads or contenders):
        raise click.UsageError("--publish needs everything: leave --workload and --contender out")
    failures = list[str]()
    if source:
        run = Run.from_json(source.read_text())
    else:
        run = Run(Machine.here(), rounds, seconds)
        failures = _measure(run, workloads or (*WORKLOADS, _CROWD), contenders or tuple(CONTENDERS))
    print(pages_block(run))
    if output:
        publishing.write_to(output, run)
    if publish:
        publishing.publish(run)
    if failures:
        raise click.ClickException("failed: " + "; ".join(failures))


def _leave(number: int, _: object) -> None:
    sys.exit(128 + number)


def _measure(run: Run, workloads: tuple[str, ...], contenders: tuple[str, ...]) -> list[str]:
    """Fills a run; returns what failed."""
    console = Console(stderr=True)
    failures: list[str] = []
    for name in workloads:
        console.print(f"{name} ...")
        if name == _CROWD:
            try:
                run.crowd.update(measure_crowd(run.rounds, run.seconds))
            except DriverError as error:
                failures.append(f"{name}: {error}")
            continue
        chosen = [
            contender
            for key, contender in CONTENDERS.items()
            if key in contenders and contender.takes(WORKLOADS[name])
        ]
        measured = measure(WORKLOADS[name], chosen, run.rounds, run.seconds)
        run.turns[name] = measured.turns
        run.absent[name] = measured.absent
        failures += [f"{name}, {key}: {measured.absent[key]}" for key in measured.failures]
    return failures


if __name__ == "__main__":
    main()
