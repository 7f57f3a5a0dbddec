"""`stats()`: what the calls have cost."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

import rlmesh
from rlmesh.errors import RemoteEnvError, StateError
from support.sample_envs import ScriptedEnv, echo_vector
from support.serving import remote, remote_vector

pytestmark = pytest.mark.usefixtures("each_transport")

ACTION = np.array([0.5, -0.25], np.float32)
SLOW = 0.05


def busy() -> None:
    """Takes a known time."""
    end = time.perf_counter() + SLOW
    while time.perf_counter() < end:
        pass


def test_it_counts_the_calls_of_each_kind() -> None:
    with remote(ScriptedEnv()) as env:
        env.reset(seed=0)
        for _ in range(3):
            env.step(ACTION)
        env.step_many([ACTION] * 4)
        env.render()
        counts = {call: stats.count for call, stats in env.stats().items()}
        assert counts == {"reset": 1, "step": 3, "step_many": 1, "render": 1}
        assert env.stats().keys() == counts.keys()


def test_the_time_in_the_environment_is_the_environments() -> None:
    env = ScriptedEnv()
    env.script["step"] = busy
    with remote(env) as client:
        client.reset(seed=0)
        began = time.perf_counter()
        client.step(ACTION)
        client.step(ACTION)
        took = time.perf_counter() - began
        stats = client.stats()["step"]
    assert 2 * SLOW <= stats.environment_seconds <= took
    parts = (
        stats.environment_seconds,
        stats.serving_seconds,
        stats.encoding_seconds,
        stats.decoding_seconds,
        stats.crossing_seconds,
    )
    assert all(part > 0 for part in parts)
    assert sum(parts) <= took


def test_the_time_of_many_steps_at_once_is_told_apart() -> None:
    env = ScriptedEnv()
    env.script["step"] = busy
    with remote(env) as client:
        client.reset(seed=0)
        client.step_many([ACTION] * 2)
        stats = client.stats()
    assert stats["step_many"].environment_seconds >= 2 * SLOW
    assert "step" not in stats


def test_bytes_are_those_of_the_messages() -> None:
    with remote(ScriptedEnv()) as env:
        env.reset(seed=0)
        env.step(ACTION)
        one = env.stats()["step"]
        env.step(ACTION)
        two = env.stats()["step"]
    assert one.sent_bytes > ACTION.nbytes
    assert one.received_bytes > ACTION.nbytes
    assert (two.sent_bytes, two.received_bytes) == (2 * one.sent_bytes, 2 * one.received_bytes)


def test_a_call_that_failed_counts() -> None:
    env = ScriptedEnv()

    def fail() -> Any:
        raise ValueError("no")

    with remote(env) as client:
        client.reset(seed=0)
        env.script["step"] = fail
        with pytest.raises(RemoteEnvError):
            client.step(ACTION)
        assert client.stats()["step"].count == 1


def test_a_new_session_begins_at_zero() -> None:
    with rlmesh.EnvServer(ScriptedEnv()) as server:
        with rlmesh.RemoteEnv[Any, Any](server.address) as first:
            first.reset(seed=0)
            first.step(ACTION)
        with rlmesh.RemoteEnv[Any, Any](server.address) as second:
            second.reset(seed=0)
            assert second.stats().keys() == {"reset"}


def test_a_vector_counts_its_steps_not_its_sub_envs() -> None:
    with remote_vector(echo_vector("box", 3)) as envs:
        envs.reset(seed=0)
        envs.step(envs.action_space.sample())
        assert envs.stats()["step"].count == 1


def test_a_closed_client_has_none() -> None:
    with remote(ScriptedEnv()) as env:
        env.close()
        with pytest.raises(StateError):
            env.stats()
