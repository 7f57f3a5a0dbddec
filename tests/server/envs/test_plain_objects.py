"""Objects that only have the shape of an environment, with and without Gymnasium beside them."""

from __future__ import annotations

import contextlib
import signal
from typing import Any

import numpy as np
import pytest

import rlmesh
from rlmesh import spaces
from support.comparing import assert_same
from support.plain_envs import PlainCounter, PlainVector
from support.process import run_python
from support.serving import TESTS, remote, remote_vector, served_process

pytestmark = pytest.mark.usefixtures("each_transport")


def drive_counter(client: rlmesh.RemoteEnv[Any, Any]) -> None:
    observation, info = client.reset(seed=3, options={"a": 1})
    assert_same(observation, {"count": np.int64(0), "position": np.full(2, 3.0)})
    assert_same(info, {"seed": 3, "options": {"a": 1}})
    action = np.array([0.5, -0.5], np.float32)
    for count in range(1, 6):
        observation, reward, terminated, truncated, info = client.step(action)
        assert_same(
            observation,
            {"count": np.int64(count), "position": np.array([3 + count * 0.5, 3 - count * 0.5])},
        )
        assert (reward, terminated, truncated) == (0.5, count == 5, False)
        assert_same(info, {"action": action})
    assert client.render() == "count 5"


def drive_counters(client: rlmesh.RemoteVectorEnv[Any, Any]) -> None:
    observations, infos = client.reset(seed=[1, None])
    assert_same(observations, np.zeros((2, 1), np.int64))
    assert infos == {"seed": [1, None]}
    actions = np.array([2, 1], np.int64)
    for step in range(1, 7):
        observations, rewards, terminations, truncations, infos = client.step(actions)
        assert_same(observations, np.array([[2 * step], [step]], np.int64))
        assert_same(rewards, np.array([3.0, 1.5]))
        assert_same(terminations, np.array([2 * step >= 10, False]))
        assert_same(truncations, np.zeros(2, bool))
        assert_same(infos, {"actions": actions})


def test_an_object_of_the_shape_is_served() -> None:
    env = PlainCounter()
    with remote(env) as client:
        drive_counter(client)
    assert env.closed


def test_an_object_of_the_shape_of_a_vector_is_served() -> None:
    env = PlainVector()
    with remote_vector(env) as client:
        assert client.metadata == {}
        drive_counters(client)
    assert env.closed


def test_an_object_is_served_where_gymnasium_cannot_be_imported() -> None:
    with served_process("plain", "--without-gymnasium") as server:
        with contextlib.closing(rlmesh.RemoteEnv(server.address)) as client:
            drive_counter(client)
        server.send(signal.SIGTERM)
        assert server.wait() == 0


@pytest.mark.parametrize("each_transport", ["shm"], indirect=True)
def test_an_object_of_sub_envs_is_served_where_gymnasium_cannot_be_imported() -> None:
    with served_process("plain-vector", "--without-gymnasium") as server:
        with contextlib.closing(rlmesh.RemoteVectorEnv(server.address)) as client:
            drive_counters(client)


@pytest.mark.parametrize("each_transport", ["shm"], indirect=True)
def test_serving_does_not_import_gymnasium() -> None:
    program = """
import sys
import rlmesh
from rlmesh import spaces
from support.plain_envs import PlainCounter, PlainVector
declaring = PlainVector()
declaring.observation_space = spaces.Box(0, 1000, shape=(2, 1), dtype="int64")
for env in PlainCounter(), PlainVector(), declaring:
    with rlmesh.EnvServer(env):
        pass
assert "gymnasium" not in sys.modules
"""
    done = run_python("-c", program, cwd=TESTS)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "same", [True, False], ids=["equal sub-environments", "bounds of their own"]
)
def test_sub_envs_may_declare_their_batched_spaces(same: bool) -> None:
    env: Any = PlainVector()
    low = np.array([[0], [0 if same else 5]])
    env.observation_space = spaces.Box(low, np.full((2, 1), 1000), dtype="int64")
    env.action_space = spaces.MultiDiscrete([3, 3])
    with remote_vector(env) as client:
        assert client.observation_space == spaces.to_gymnasium_space(env.observation_space)
        assert client.action_space == spaces.to_gymnasium_space(env.action_space)
