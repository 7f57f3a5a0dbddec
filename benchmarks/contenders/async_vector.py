"""Gymnasium's AsyncVectorEnv: a process for each environment, observations in shared memory."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Generator
from typing import Any

import gymnasium as gym

from benchmarks.contenders.driven import Driven, driven_env
from benchmarks.workloads import Workload


def copies(workload: Workload) -> contextlib.AbstractContextManager[Driven]:
    """What arrives belongs to the caller."""
    return _open(workload, copy=True)


def views(workload: Workload) -> contextlib.AbstractContextManager[Driven]:
    """What arrives is overwritten by the next step."""
    return _open(workload, copy=False)


@contextlib.contextmanager
def _open(workload: Workload, *, copy: bool) -> Generator[Driven]:
    envs = gym.vector.AsyncVectorEnv(
        workload.factories() if workload.num_envs else [workload.make_one],
        shared_memory=True,
        copy=copy,
    )
    try:
        yield driven_env(envs, workload) if workload.num_envs else _one(envs, workload)
    finally:
        envs.close()


def _one(envs: gym.vector.AsyncVectorEnv[Any, Any], workload: Workload) -> Driven:
    """One environment as a vector; an explicit reset takes the place of its autoreset."""
    actions = itertools.cycle([action[None] for action in workload.actions()])

    def step() -> bool:
        _, _, terminations, truncations, _ = envs.step(next(actions))
        return bool(terminations[0] or truncations[0])

    return Driven(step, envs.reset)
