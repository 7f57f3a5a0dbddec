"""An environment behind messages, as users write it by hand: a method's name, and an argument."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.contenders.driven import Driven, driven_calls
from benchmarks.workloads import Local, Workload


def respond(env: Local, request: Any) -> Any:
    """What the environment makes of a request."""
    method, argument = request
    return env.step(argument) if method == "step" else env.reset(seed=argument)


def driven_requests(call: Callable[[Any], Any], workload: Workload) -> Driven:
    """Drives a function that hands a request to `respond` in another process."""

    def step(action: Any) -> Any:
        # A Python integer is what a message holds best.
        return call(("step", action if workload.num_envs else int(action)))

    return driven_calls(step, lambda: call(("reset", None)), workload)
