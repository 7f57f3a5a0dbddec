"""The environment itself, in the driver's process."""

from __future__ import annotations

import contextlib
from collections.abc import Generator

from benchmarks.contenders.driven import Driven, driven_env
from benchmarks.workloads import Workload


@contextlib.contextmanager
def open_it(workload: Workload) -> Generator[Driven]:
    """The environment, or Gymnasium's `SyncVectorEnv`."""
    env = workload.make()
    try:
        yield driven_env(env, workload)
    finally:
        env.close()
