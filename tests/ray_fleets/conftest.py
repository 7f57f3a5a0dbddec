"""Tests on a Ray cluster of several nodes on this machine, which `make ray` runs.

Where Ray is missing, as in the virtual environment of `make test`, none of them is collected; see
tests/trainers/conftest.py.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Generator
from typing import Any

import pytest

from support.waiting import wait_until

collect_ignore_glob = [] if importlib.util.find_spec("ray") else ["test_*.py"]

NODES, CPUS = 4, 4


@pytest.fixture(scope="session")
def cluster() -> Generator[Any]:
    """Four nodes for servers, and one without resources, where the program of the tests runs."""
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    cluster.add_node(
        num_cpus=0,
        include_dashboard=False,
        # Else a process is started for each processor, and nobody needs it.
        _system_config={"prestart_worker_first_driver": False},
    )
    for _ in range(NODES):
        cluster.add_node(num_cpus=CPUS)
    ray.init(address=cluster.address, log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture(autouse=True)
def _nothing_holds_a_node(cluster: Any) -> Generator[None]:
    """Fails a test after which something still has resources of the cluster."""
    import ray

    def is_free() -> bool:
        free, all_of_it = ray.available_resources(), ray.cluster_resources()
        return bool(free.get("CPU") == all_of_it["CPU"])

    yield
    wait_until(is_free)
