"""Measures what fleets cost, and writes `docs/capacity.md`."""

from __future__ import annotations

import argparse
import sys

from benchmarks.capacity.measuring import Measured, measure
from benchmarks.capacity.page import PAGE, PLOT, RESULTS, block, draw, from_json, to_json
from benchmarks.machine import Machine
from benchmarks.publishing import with_block


def main() -> None:
    """Measures, or reads what was measured, and shows or publishes it."""
    parser = argparse.ArgumentParser(description="Measures what fleets of environments cost.")
    parser.add_argument("--seconds", type=float, default=1.0, help="how long a fleet is stepped")
    parser.add_argument("--publish", action="store_true", help="write the page and the plot")
    parser.add_argument("--again", action="store_true", help="from the results that are kept")
    given = parser.parse_args()
    if given.again:
        machine, measured = from_json(RESULTS.read_text())
    else:
        here = Machine.here()
        machine = f"{here.cores} cores of {here.cpu}, {here.python}, RLMesh {here.step}"
        measured = list[Measured]()
        for each in measure(given.seconds):
            print(each, file=sys.stderr, flush=True)
            measured.append(each)
    if not given.publish:
        print(block(machine, measured))
        return
    RESULTS.write_text(to_json(machine, measured))
    machine, measured = from_json(RESULTS.read_text())
    PAGE.write_text(with_block(PAGE.read_text(), block(machine, measured)))
    draw(measured, PLOT)


main()
