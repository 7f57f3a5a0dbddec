"""What a contender gives its driver: a step, and what belongs around it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.workloads import Workload


class UnavailableError(Exception):
    """A contender that cannot be had here; the message says why."""


def _nothing() -> None:
    """What most contenders do between two turns."""


@dataclass(frozen=True, slots=True)
class Driven:
    """A contender at work.

    Attributes:
        step: Takes one step and says whether the episode has ended with it.
        reset: Begins an episode; begins every turn, too, and is never timed.
        rest: Called at the end of a turn, by one that would keep a core busy otherwise.
    """

    step: Callable[[], bool]
    reset: Callable[[], object]
    rest: Callable[[], object] = _nothing


def driven_env(env: Any, workload: Workload) -> Driven:
    """Drives what has the methods of a Gymnasium environment.

    A vector environment resets its sub-environments by itself, within its steps.
    """
    return driven_calls(env.step, env.reset, workload)


def driven_calls(
    call_step: Callable[[Any], Any], call_reset: Callable[[], object], workload: Workload
) -> Driven:
    """Drives two functions that answer as `step` and `reset` do."""
    actions = itertools.cycle(workload.actions())

    def step() -> bool:
        _, _, terminated, truncated, _ = call_step(next(actions))
        return bool(terminated or truncated)

    def step_sub_envs() -> bool:
        call_step(next(actions))
        return False

    return Driven(step_sub_envs if workload.num_envs else step, call_reset)
