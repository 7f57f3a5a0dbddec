"""Stable-Baselines3's SubprocVecEnv: a process for each environment, pickled values in pipes."""

from __future__ import annotations

import contextlib
import importlib
import itertools
from collections.abc import Generator
from typing import Any

from benchmarks.contenders.driven import Driven, UnavailableError
from benchmarks.workloads import Workload

# Each process imports PyTorch: 64 of them take 17 GB, and did not start within two minutes.
_MOST_PROCESSES = 16


@contextlib.contextmanager
def open_it(workload: Workload) -> Generator[Driven]:
    """Its `step` waits for all."""
    if workload.num_envs > _MOST_PROCESSES:
        raise UnavailableError(
            f"{workload.num_envs} processes that each import PyTorch take too long to start"
        )
    # By its name: it is optional, and type checkers do not find it.
    vec_env: Any = importlib.import_module("stable_baselines3.common.vec_env")
    envs = vec_env.SubprocVecEnv(workload.factories())
    actions = itertools.cycle(workload.actions())

    def step() -> bool:
        envs.step(next(actions))
        return False

    try:
        yield Driven(step, envs.reset)
    finally:
        envs.close()
