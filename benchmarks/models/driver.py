"""The process that asks one contender.

`python -m benchmarks.models.driver CONTENDER MODEL CLIENTS` speaks JSON, a line each way. The first
line is `{"ready": true}` or `{"unavailable": why}`. Each line that it is sent is a number of
seconds, and is answered with the turn that it then takes, or with `{"unavailable": why}` where that
fails. It ends with its standard input.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from time import perf_counter
from typing import Any

from benchmarks.models.catalogue import CONTENDERS
from benchmarks.models.task import observation, received
from benchmarks.peer import take_stdout


def main() -> None:
    """Opens the contender that the command line names, and takes turns."""
    contender, model, count = CONTENDERS[sys.argv[1]], sys.argv[2], int(sys.argv[3])
    out = take_stdout()

    def say(answer: object) -> None:
        print(json.dumps(answer), file=out, flush=True)

    try:
        with contender.load()(model, count) as asks:
            for ask in asks:
                received(ask(observation()))
            say({"ready": True})
            for line in sys.stdin:
                say(take_turn(asks, float(line)))
    except ModuleNotFoundError as error:
        say({"unavailable": f"{error.name} is not installed"})
    except Exception as error:
        # What stands last on the standard error may come from a process that a library has started.
        say({"unavailable": f"{type(error).__name__}: {error}"})
        raise


def take_turn(asks: list[Callable[[Any], Any]], seconds: float) -> dict[str, float]:
    """Has all clients ask for so many seconds.

    Returns:
        `p50` and `p99` of a call, in microseconds, and the calls of all clients per second, `rate`.
    """
    times: list[list[float]] = [[] for _ in asks]
    errors: list[BaseException] = []

    def run(ask: Callable[[Any], Any], taken: list[float]) -> None:
        sent = observation()
        end = perf_counter() + seconds
        try:
            while (began := perf_counter()) < end:
                ask(sent)
                taken.append(perf_counter() - began)
        except BaseException as error:  # noqa: BLE001 - the main thread raises it
            errors.append(error)

    began = perf_counter()
    if len(asks) == 1:
        run(asks[0], times[0])
    else:
        threads = [
            threading.Thread(target=run, args=pair) for pair in zip(asks, times, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    wall = perf_counter() - began
    if errors:
        raise errors[0]
    every = sorted(each for taken in times for each in taken)
    return {
        "p50": 1e6 * every[len(every) // 2],
        "p99": 1e6 * every[int(0.99 * (len(every) - 1))],
        "rate": len(every) / wall,
    }


if __name__ == "__main__":
    main()
