"""Servers, nodes and programs that are killed while a fleet steps."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from typing import Any

import numpy as np
import pytest
import ray

import rlmesh.ray
from support.fleets import ID, MOST_STEPS, SHARE, is_open, is_running, local, step_until_replaced
from support.process import descendants
from support.serving import start_python
from support.waiting import wait_until

pytestmark = pytest.mark.timeout(300)
# Only a defect takes longer than that.
SOON = 60.0


def test_a_killed_server_ends_only_the_episodes_of_its_own_environments(cluster: Any) -> None:
    with rlmesh.ray.Fleet(ID, size=6, sessions_per_server=2, resources=SHARE) as fleet:
        victim = fleet.status()[1]
        took = step_until_replaced(fleet, lambda: os.kill(victim.pid, signal.SIGKILL), [2, 3])
        assert took < SOON
        rows = fleet.status()
        assert [row.restarts for row in rows] == [0, 1, 0]
        assert rows[1].node == victim.node
        assert rows[1].pid != victim.pid


def test_an_actor_that_is_killed_for_good_is_started_again(cluster: Any) -> None:
    with rlmesh.ray.Fleet(ID, size=2, resources=SHARE) as fleet:
        actor = fleet._servers._servers[0].actor
        assert step_until_replaced(fleet, lambda: ray.kill(actor), [0]) < SOON
        assert [row.restarts for row in fleet.status()] == [1, 0]


def test_the_servers_of_a_node_that_is_killed_go_on_elsewhere(cluster: Any) -> None:
    node = cluster.add_node(num_cpus=4)
    with rlmesh.ray.Fleet(ID, size=10, sessions_per_server=2, resources=SHARE) as fleet:
        rows = fleet.status()
        lost = [
            index
            for number, row in enumerate(rows)
            if row.node == node.node_id
            for index in (2 * number, 2 * number + 1)
        ]
        assert len(lost) == 2
        took = step_until_replaced(
            fleet, lambda: cluster.remove_node(node, allow_graceful=False), lost
        )
        assert took < SOON
        assert node.node_id not in {row.node for row in fleet.status()}


def test_a_lost_server_raises_and_the_next_reset_goes_on_where_that_is_asked_for(
    cluster: Any,
) -> None:
    with rlmesh.ray.Fleet(ID, size=2, resources=SHARE, on_loss="raise") as fleet:
        fleet.reset(seed=0)
        victim = fleet.status()[0]
        os.kill(victim.pid, signal.SIGKILL)
        with pytest.raises(ConnectionError):
            step_for_long(fleet)
        observations, _ = fleet.reset(seed=0)
        assert (observations == local(2).reset(seed=0)[0]).all()
        assert [row.restarts for row in fleet.status()] == [1, 0]


def step_for_long(fleet: Any) -> None:
    for _ in range(MOST_STEPS):
        fleet.step(np.zeros(fleet.num_envs, np.int64))


_DRIVER = """
import json, sys, ray, rlmesh.ray
from rlmesh.errors import StateError
try:
    rlmesh.ray.Fleet("CartPole-v1", size=1)
except StateError as error:
    refusal = str(error)
ray.init(address=sys.argv[1], log_to_driver=False)
fleet = rlmesh.ray.Fleet(
    "CartPole-v1", size=4, resources={"CPU": 0.25}, server_options={"isolation": "process"}
)
fleet.reset(seed=0)
rows = [[row.pid, row.address] for row in fleet.status()]
print(json.dumps({"refusal": refusal, "rows": rows}), flush=True)
while True:
    fleet.step([0] * 4)
"""


def test_a_program_that_is_killed_leaves_no_process_and_no_socket_behind(cluster: Any) -> None:
    with start_python(["-c", _DRIVER, cluster.address], stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        said = json.loads(program.stdout.readline())
        pids = [pid for pid, _ in said["rows"]]
        # Those of the environments, and what the servers started besides.
        pids += [child for pid in pids for child in descendants(pid)]
        assert len(pids) >= 8
        program.kill()
    assert "ray.init()" in said["refusal"]
    wait_until(lambda: not any(map(is_running, pids)))
    assert not any(is_open(address) for _, address in said["rows"])
