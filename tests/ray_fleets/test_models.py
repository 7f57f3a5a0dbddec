"""Replicas of a model on a Ray cluster of several nodes, and clients spread over them."""

from __future__ import annotations

import os
import signal
from collections import Counter
from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box

import rlmesh
import rlmesh.ray
from rlmesh.errors import RemoteModelError, StateError
from support.fleets import SHARE, is_open, is_running
from support.waiting import wait_until

pytestmark = [pytest.mark.usefixtures("cluster"), pytest.mark.timeout(300)]
OBSERVATION = np.zeros(1, np.float32)


def pid_model() -> type[Any]:
    """A model that says in which process it is; made here, so that it crosses by value."""

    class Model:
        observation_space = Box(-1, 1, (1,))
        action_space = Box(0, 1 << 30, (1,), np.int64)

        def predict(self, observation: Any) -> Any:
            return np.array([os.getpid()])

    return Model


def ask_for_long(client: rlmesh.RemoteModel[Any, Any]) -> None:
    for _ in range(10_000):
        client.predict(OBSERVATION)


def test_clients_are_spread_over_replicas_and_move_from_one_that_is_killed() -> None:
    with rlmesh.ray.Models(pid_model(), replicas=2, resources=SHARE) as models:
        clients = [models.client() for _ in range(4)]
        for client in clients:
            client.reset(seed=0)
        pids = [int(client.predict(OBSERVATION)[0]) for client in clients]
        rows = models.status()
        assert Counter(pids) == {row.pid: 2 for row in rows}
        assert len({row.node for row in rows}) == 2
        assert [row.steps for row in rows] == [4, 4]
        os.kill(pids[0], signal.SIGKILL)
        with pytest.raises(ConnectionError):
            ask_for_long(clients[0])
        for client, pid in zip(clients, pids, strict=True):
            if pid == pids[0]:
                client.reset(seed=0)
            assert (int(client.predict(OBSERVATION)[0]) == pid) == (pid != pids[0])
        wait_until(lambda: sum(row.restarts for row in models.status()) == 1)
        models.scale(1)
        (left,) = models.status()
        addresses = models.addresses
        assert addresses == (left.address,)
    with pytest.raises(StateError):
        clients[1].predict(OBSERVATION)
    with pytest.raises(StateError):
        models.client()
    assert not is_open(addresses[0])
    wait_until(lambda: not is_running(left.pid))


def test_a_model_that_cannot_be_made_is_reported_with_its_node() -> None:
    class Model:
        def __init__(self) -> None:
            raise FileNotFoundError("weights.pt is missing")

    with pytest.raises(RemoteModelError, match=r"server 0 on node \S+ .*weights.pt"):
        rlmesh.ray.Models(Model, replicas=1, resources=SHARE)
