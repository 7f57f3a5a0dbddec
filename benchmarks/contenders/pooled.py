"""EnvPool: environments in C++, stepped by threads of the same process."""

from __future__ import annotations

import contextlib
import importlib
import itertools
from collections.abc import Generator
from typing import Any

from benchmarks.contenders.driven import Driven, UnavailableError
from benchmarks.workloads import Workload


@contextlib.contextmanager
def open_it(workload: Workload) -> Generator[Driven]:
    """Its own form of the workload's environment."""
    if not workload.envpool:
        raise UnavailableError("it has no such environment")
    # By its name: it is optional, and type checkers do not find it.
    envpool: Any = importlib.import_module("envpool")
    envs = envpool.make(
        workload.envpool,
        env_type="gymnasium",
        num_envs=workload.num_envs,
        num_threads=workload.workers,
    )
    actions = itertools.cycle(workload.actions())

    def step() -> bool:
        envs.step(next(actions))
        return False

    try:
        yield Driven(step, envs.reset)
    finally:
        envs.close()
