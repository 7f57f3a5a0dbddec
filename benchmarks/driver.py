"""The process that steps one contender: `python -m benchmarks.driver CONTENDER WORKLOAD`.

It speaks JSON, a line each way. First it says `{"ready": true}`, or `{"unavailable": why}`.
Each line that it is sent is a number of seconds, perhaps with the time at which they begin, and is
answered with the turn that it then takes. It ends with its standard input.
"""

from __future__ import annotations

import dataclasses
import json
import sys

from benchmarks.contenders.catalogue import CONTENDERS
from benchmarks.contenders.driven import UnavailableError
from benchmarks.peer import take_stdout
from benchmarks.turns import take_turn
from benchmarks.workloads import WORKLOADS


def main() -> None:
    """Opens the contender that the command line names, and takes turns."""
    contender, workload = CONTENDERS[sys.argv[1]], WORKLOADS[sys.argv[2]]
    out = take_stdout()

    def say(answer: object) -> None:
        print(json.dumps(answer), file=out, flush=True)

    try:
        with contender.load()(workload) as driven:
            say({"ready": True})
            for line in sys.stdin:
                seconds, *start = map(float, line.split())
                turn = take_turn(driven, seconds, workload.policy_seconds, *start)
                say(dataclasses.asdict(turn))
    except ModuleNotFoundError as error:
        say({"unavailable": f"{error.name} is not installed"})
    except UnavailableError as error:
        say({"unavailable": str(error)})


if __name__ == "__main__":
    main()
