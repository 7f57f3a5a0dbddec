"""A fleet on Ray beside the same environments held by Ray actors, and what a lost node costs.

    python -m benchmarks.fleets

It starts a Ray cluster of several nodes on this machine, and measures both sides in turns, in one
run: a single environment, and several over four nodes. Needs `pip install 'rlmesh[ray]'`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import ray
from ray.cluster_utils import Cluster

import rlmesh.ray

ID = "CartPole-v1"
NODES, CPUS = 4, 4
SHARE = {"CPU": 0.25}


class _Actor:
    """Holds one environment, which resets itself after an episode, as those of a fleet do."""

    def __init__(self) -> None:
        self._env = gymnasium.make(ID)
        self._ended = False

    def reset(self, seed: int) -> Any:
        self._ended = False
        return self._env.reset(seed=seed)

    def step(self, action: int) -> Any:
        if self._ended:
            self._ended = False
            return *self._env.reset(), 0.0, False, False
        made = self._env.step(action)
        self._ended = bool(made[2] or made[3])
        return made


def main() -> None:
    """Measures, and prints what it found."""
    parser = argparse.ArgumentParser(description="Compares a fleet on Ray with Ray actors.")
    parser.add_argument("--envs", type=int, default=64, help="how many environments")
    parser.add_argument("--per-server", type=int, default=8, help="how many a server has")
    parser.add_argument("--turns", type=int, default=5, help="how often both sides take turns")
    parser.add_argument("--seconds", type=float, default=1.0, help="how long a turn lasts")
    given = parser.parse_args()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    cluster = Cluster()
    cluster.add_node(
        num_cpus=0,
        include_dashboard=False,
        _system_config={"prestart_worker_first_driver": False},
    )
    nodes = [cluster.add_node(num_cpus=CPUS) for _ in range(NODES)]
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    try:
        _compare(1, 1, given.turns, given.seconds)
        _compare(given.envs, given.per_server, given.turns, given.seconds)
        _lose(cluster, nodes[-1], given.envs, given.per_server)
    finally:
        ray.shutdown()
        cluster.shutdown()


def _compare(size: int, per_server: int, turns: int, seconds: float) -> None:
    """Steps a fleet and as many actors in turns, and prints the medians of a step."""
    fleet = rlmesh.ray.Fleet(ID, size=size, sessions_per_server=per_server, resources=SHARE)
    fleet.reset(seed=0)
    servers = -(-size // per_server)
    # As many processes on either side; an actor holds one environment, as a user writes it.
    actors = [
        ray.remote(num_cpus=SHARE["CPU"] * servers / size)(_Actor).remote() for _ in range(size)
    ]
    ray.get([actor.reset.remote(seed) for seed, actor in enumerate(actors)])
    zeros = np.zeros(size, np.int64)
    sides: dict[str, Callable[[], Any]] = {
        "fleet": lambda: fleet.step(zeros),
        "actors": lambda: ray.get([actor.step.remote(0) for actor in actors]),
    }
    found: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(turns):
        for name, step in sides.items():
            found[name].append(_median_step(step, seconds))
    fleet.close()
    for actor in actors:
        ray.kill(actor)
    medians = {name: statistics.median(times) for name, times in found.items()}
    print(
        f"{size} environments, {servers} servers ({fleet.transport}): a step takes "
        f"{medians['fleet'] * 1e6:.0f} us in a fleet and {medians['actors'] * 1e6:.0f} us in Ray "
        f"actors, {medians['actors'] / medians['fleet']:.1f} times as long",
        flush=True,
    )


def _median_step(step: Callable[[], Any], seconds: float) -> float:
    times: list[float] = []
    end = time.perf_counter() + seconds
    while (began := time.perf_counter()) < end:
        step()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def _lose(cluster: Cluster, node: Any, size: int, per_server: int) -> None:
    """Kills a server, then a node, in the middle of an epoch; prints how long the step took."""
    with rlmesh.ray.Fleet(ID, size=size, sessions_per_server=per_server, resources=SHARE) as fleet:
        fleet.reset(seed=0)
        victim = next(row for row in fleet.status() if row.node != node.node_id)
        losses: dict[str, Callable[[], None]] = {
            "server": lambda: os.kill(victim.pid, 9),
            "node": lambda: cluster.remove_node(node, allow_graceful=False),
        }
        for name, lose in losses.items():
            for _ in range(100):
                fleet.step(np.zeros(size, np.int64))
            lose()
            lost = time.perf_counter()
            count = 0
            while not count:
                infos = fleet.step(np.zeros(size, np.int64))[4]
                count = int(np.sum(infos.get("_rlmesh.env.replaced", 0)))
            print(
                f"a killed {name}: {count} of {size} environments were lost, and stepped again "
                f"after {time.perf_counter() - lost:.1f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
