"""`python -m soak`: steps a million times, and says whether anything grew."""

from __future__ import annotations

import gc
import importlib
import os
import time
from random import Random

import click

from benchmarks.machine import Machine
from benchmarks.peer import peer
from soak import publishing, serving
from soak.legs import LEGS, STEPS, run
from soak.report import page_block
from soak.results import Run
from soak.sampling import Sample


@click.command()
@click.option(
    "--steps",
    default=1_000_000,
    show_default=True,
    type=click.IntRange(4 * STEPS),
    help=f"How many steps, rounded up to rounds of {STEPS}.",
)
@click.option(
    "--cuts", default=2, show_default=True, type=click.IntRange(0), help="A session, on average."
)
@click.option("--seed", default=None, type=int, help="Of actions and cuts. Default: another one.")
@click.option("--publish", is_flag=True, help="Write the numbers and the curve into docs/.")
def main(steps: int, cuts: int, seed: int | None, publish: bool) -> None:
    """Steps environments in another process, and notes what both processes hold.

    The exit code is 1 if one of them grew, or if a trajectory is not what it would be locally.
    """
    if publish:
        # What the plot needs is missing now rather than after minutes.
        importlib.import_module("soak.plot")
    seed = time.time_ns() % 2**32 if seed is None else seed
    click.echo(f"seed {seed}", err=True)
    done = _soak(-(-steps // STEPS), cuts, Random(seed))
    click.echo(page_block(done))
    if publish:
        publishing.publish(done)
    grown = [growth for growth in done.growths() if not growth.flat]
    if grown:
        line = "; ".join(f"{growth.process}: {growth.what}" for growth in grown)
        raise click.ClickException(f"it grows: {line}")


def _soak(rounds: int, cuts: int, random: Random) -> Run:
    result = Run(Machine.here())
    began = time.monotonic()
    with peer(serving.serve) as line:
        pid, single, vector = line.split()
        for _ in range(rounds):
            for leg in LEGS:
                run(leg, vector if leg.vector else single, random, cuts, result.counts)
            # What is only waiting to be collected is no growth.
            gc.collect()
            result.steps.append(result.counts.steps)
            result.samples["client"].append(Sample.of(os.getpid()))
            result.samples["server"].append(Sample.of(int(pid)))
    result.seconds = time.monotonic() - began
    return result


if __name__ == "__main__":
    main()
