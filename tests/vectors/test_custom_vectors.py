"""Vector environments that are not Gymnasium's: of a class of their own, or of none."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from support.comparing import assert_same
from support.plain_envs import PlainVector
from support.serving import remote_vector
from support.vector_envs import NoSwitch, record, sync_sub_envs, told

pytestmark = pytest.mark.usefixtures("each_transport")

STEPS = 60
SUB_ENVS = 4


def cartpoles(render_mode: str | None = None) -> Any:
    return gymnasium.make_vec(
        "CartPole-v1", SUB_ENVS, vectorization_mode="vector_entry_point", render_mode=render_mode
    )


def test_an_environment_that_is_a_vector_by_itself_is_as_locally() -> None:
    expected = record(cartpoles(), STEPS)
    with remote_vector(cartpoles()) as client:
        local = cartpoles()
        assert client.observation_space == local.observation_space
        assert client.action_space == local.action_space
        assert_same(client.metadata, local.metadata)
        assert client.spec is not None
        assert client.spec.id == local.spec.id
        for (call, actual), (_, wanted) in zip(told(client, STEPS), expected, strict=True):
            if call.startswith("step"):
                # It tells its rewards as float32; every vector here tells them as float64.
                wanted = (wanted[0], wanted[1].astype(np.float64), *wanted[2:])  # noqa: PLW2901
            assert_same(actual, wanted, call)


def test_the_frames_of_an_environment_that_is_a_vector_by_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    local = cartpoles("rgb_array")
    with remote_vector(cartpoles("rgb_array")) as client:
        assert client.render_mode == "rgb_array"
        for envs in (local, client):
            envs.reset(seed=3)
        assert_same(client.render(), local.render())
    local.close()


def test_a_wrapped_vector_environment_keeps_its_wrappers() -> None:
    def wrapped() -> Any:
        return gymnasium.wrappers.vector.NormalizeReward(
            gymnasium.wrappers.vector.RecordEpisodeStatistics(NoSwitch(sync_sub_envs("box")))
        )

    def without_seconds(calls: Any) -> list[Any]:
        for _, result in calls:
            result[-1].get("episode", {}).pop("t", None)
        return list(calls)

    expected = without_seconds(record(wrapped(), STEPS))
    with remote_vector(wrapped()) as client:
        assert_same(without_seconds(list(told(client, STEPS))), expected)


def test_a_plain_object_of_the_shape_of_a_vector() -> None:
    env = PlainVector()
    with remote_vector(env) as client:
        assert client.num_envs == 2
        assert client.action_space == gymnasium.spaces.MultiDiscrete([3, 3])
        assert "autoreset_mode" not in client.metadata
        assert client.spec is None
        assert client.env_contract.id == "UnknownEnv-v1"
        observations, infos = client.reset(seed=[1, None])
        assert_same(observations, np.zeros((2, 1), np.int64))
        assert infos == {"seed": [1, None]}
        observations, rewards, terminations, truncations, infos = client.step([2, 1])
        assert_same(observations, np.array([[2], [1]]))
        assert_same(rewards, np.array([3.0, 1.5]))
        assert_same(terminations, np.zeros(2, bool))
        assert_same(truncations, np.zeros(2, bool))
        assert_same(infos, {"actions": np.array([2, 1])})


def test_metadata_of_a_vector_is_the_clients_own_copy() -> None:
    envs = sync_sub_envs()
    with remote_vector(envs) as client:
        assert_same(client.metadata, envs.metadata)
        client.metadata["render_modes"].append("mine")
        client.metadata["autoreset_mode"] = AutoresetMode.DISABLED
        assert envs.metadata["render_modes"] == ["ansi"]
        assert client.env_contract.metadata["render_modes"] == ["ansi"]
        assert envs.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
