"""`python -m benchmarks`: measures, and prints a table for each workload."""

from __future__ import annotations

import click
from rich.console import Console
from rich.table import Table

from benchmarks.measuring import Result, measure
from benchmarks.workloads import WORKLOADS

_LOCAL, _BARE = "in-process", "bare grpcio stream"


@click.command()
@click.option("--rounds", default=5, show_default=True, help="Turns of each contender.")
@click.option("--seconds", default=1.0, show_default=True, help="How long a turn takes.")
@click.option(
    "--workload",
    "workloads",
    multiple=True,
    type=click.Choice(list(WORKLOADS)),
    help="What is stepped; may be given repeatedly. Default: everything.",
)
def main(rounds: int, seconds: float, workloads: tuple[str, ...]) -> None:
    """Measures one remote step beside one in-process, and beside plain grpcio."""
    console = Console()
    for workload in workloads or WORKLOADS:
        console.print(_table(workload, measure(workload, rounds, seconds)))


def _table(workload: str, results: list[Result]) -> Table:
    known = {result.contender: result for result in results}
    table = Table(title=f"One step of {workload}")
    for heading in ("", "p50 µs", "p99 µs", "spread", "to in-process", "to a bare stream"):
        table.add_column(heading, justify="left" if not heading else "right")
    for result in results:
        table.add_row(
            result.contender,
            f"{result.p50:.1f}",
            f"{result.p99:.1f}",
            f"±{result.spread / 2:.0%}",
            f"{result.p50 / known[_LOCAL].p50:.2f}",
            f"{result.p50 / known[_BARE].p50:.2f}",
        )
    return table


if __name__ == "__main__":
    main()
