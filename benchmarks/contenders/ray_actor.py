"""A Ray actor that holds the environment."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Generator
from typing import Any

import ray

from benchmarks.contenders.driven import Driven, driven_calls
from benchmarks.workloads import WORKLOADS, Workload


class _Actor:
    def __init__(self, workload: str) -> None:
        self._env: Any = WORKLOADS[workload].make()

    def reset(self) -> Any:
        return self._env.reset()

    def step(self, action: Any) -> Any:
        return self._env.step(action)


@contextlib.contextmanager
def open_it(workload: Workload) -> Generator[Driven]:
    """A private Ray on this machine, which connects to no other."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    with tempfile.TemporaryDirectory(prefix="bench", ignore_cleanup_errors=True) as folder:
        ray.init(
            address="local",
            num_cpus=1,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            object_store_memory=512 * 2**20,
            _temp_dir=folder,
            _node_ip_address="127.0.0.1",
        )
        try:
            actor = ray.remote(_Actor).remote(workload.key)
            ray.get(actor.reset.remote())
            yield driven_calls(
                lambda action: ray.get(actor.step.remote(action)),
                lambda: ray.get(actor.reset.remote()),
                workload,
            )
        finally:
            ray.shutdown()
