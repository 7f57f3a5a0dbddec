"""A fleet on Ray beside the same environments held by Ray actors, and what a lost node costs.

    python -m benchmarks.fleets --publish

It starts a Ray cluster of several nodes on this machine, and measures both sides in turns, in one
run: one environment; several over four nodes, each by itself; and as many in vector environments.
Needs `pip install 'rlmesh[ray]'`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import ray
from ray.cluster_utils import Cluster

import rlmesh.ray
from benchmarks.fleet_results import PAGE, RESULTS, Compared, Loss, Results, block
from benchmarks.machine import Machine
from benchmarks.publishing import with_block

ID = "CartPole-v1"
NODES, CPUS = 4, 4
SHARE = {"CPU": 0.25}
# For so long nothing more is lost: the servers of a node are missed one after the other.
_QUIET_SECONDS = 5.0


class _Actor:
    """Holds one environment, which resets itself after an episode, as those of a fleet do.

    Args:
        make: Makes the environment; a vector environment resets its own by itself.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._env = make()
        self._is_vector = isinstance(self._env, gymnasium.vector.VectorEnv)
        self._ended = False

    def reset(self, seed: int) -> Any:
        self._ended = False
        return self._env.reset(seed=seed)

    def step(self, action: Any) -> Any:
        if self._ended:
            self._ended = False
            return *self._env.reset(), 0.0, False, False
        made = self._env.step(action)
        self._ended = not self._is_vector and bool(made[2] or made[3])
        return made


def _one() -> Any:
    return gymnasium.make(ID)


def _vector(count: int) -> Any:
    return gymnasium.vector.SyncVectorEnv([_one] * count)


def main() -> None:
    """Measures, and prints or publishes what it found."""
    parser = argparse.ArgumentParser(description="Compares a fleet on Ray with Ray actors.")
    parser.add_argument("--envs", type=int, default=64, help="how many environments")
    parser.add_argument("--per-server", type=int, default=8, help="how many a server has")
    parser.add_argument("--turns", type=int, default=5, help="how often both sides take turns")
    parser.add_argument("--seconds", type=float, default=1.0, help="how long a turn lasts")
    parser.add_argument("--publish", action="store_true", help="write the page")
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
    each = given.envs // NODES
    here = Machine.here()
    try:
        turns = {"turns": given.turns, "seconds": given.seconds}
        results = Results(
            machine=f"{here.cores} cores of {here.cpu}, {here.python}, RLMesh {here.step}, Ray "
            f"{here.libraries['ray']}",
            compared=[
                _compare("1 environment", _one, 1, 1, **turns),
                _compare(
                    f"{given.envs} environments over {NODES} nodes, each by itself",
                    _one,
                    given.envs,
                    given.per_server,
                    **turns,
                ),
                _compare(
                    f"{given.envs} environments over {NODES} nodes, as {NODES} vector environments",
                    partial(_vector, each),
                    NODES,
                    1,
                    **turns,
                ),
            ],
            losses=_lose(cluster, nodes[-1], given.envs, given.per_server),
        )
    finally:
        ray.shutdown()
        cluster.shutdown()
    print(block(results))
    if given.publish:
        RESULTS.write_text(results.to_json())
        PAGE.write_text(with_block(PAGE.read_text(), block(results)))


def _compare(
    held: str, make: Callable[[], Any], size: int, per_server: int, *, turns: int, seconds: float
) -> Compared:
    """Steps a fleet and as many actors in turns."""
    fleet = rlmesh.ray.Fleet(make, size=size, sessions_per_server=per_server, resources=SHARE)
    fleet.reset(seed=0)
    servers = -(-size // per_server)
    # An actor holds one environment, as a user writes it, or one vector environment.
    actors = [
        ray.remote(num_cpus=SHARE["CPU"] * servers / size)(_Actor).remote(make) for _ in range(size)
    ]
    ray.get([actor.reset.remote(seed) for seed, actor in enumerate(actors)])
    zeros = np.zeros(fleet.num_envs, np.int64)
    parts = [part if fleet.num_envs > size else int(part[0]) for part in np.split(zeros, size)]
    sides: dict[str, Callable[[], Any]] = {
        "fleet": lambda: fleet.step(zeros),
        "actors": lambda: ray.get(
            [actor.step.remote(part) for actor, part in zip(actors, parts, strict=True)]
        ),
    }
    found: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(turns):
        for name, step in sides.items():
            found[name].append(_median_step(step, seconds))
    fleet.close()
    for actor in actors:
        ray.kill(actor)
    medians = {name: statistics.median(times) for name, times in found.items()}
    return Compared(held, servers, size, medians["fleet"], medians["actors"])


def _median_step(step: Callable[[], Any], seconds: float) -> float:
    times: list[float] = []
    end = time.perf_counter() + seconds
    while (began := time.perf_counter()) < end:
        step()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def _lose(cluster: Cluster, node: Any, size: int, per_server: int) -> list[Loss]:
    """Kills a server, then a node, in the middle of an epoch."""
    found: list[Loss] = []
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
            count, until = 0, float("inf")
            took = 0.0
            while time.perf_counter() < until:
                infos = fleet.step(np.zeros(size, np.int64))[4]
                made = int(np.sum(infos.get("_rlmesh.env.replaced", 0)))
                if made:
                    count += made
                    took = time.perf_counter() - lost
                    until = time.perf_counter() + _QUIET_SECONDS
            found.append(Loss(name, count, took))
    return found


if __name__ == "__main__":
    main()
