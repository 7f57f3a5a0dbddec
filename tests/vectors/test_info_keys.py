"""What RLMesh adds to an info of a vector environment has the form that Gymnasium gives infos."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import SyncVectorEnv
from gymnasium.wrappers import vector as wrappers

import rlmesh
from support.serving import remote_vector, serving

WARNING = "rlmesh.conformance.warning"
DEGRADED = "rlmesh.info.degraded"
STEPS = 5
TURNING = 3


class Deviating(gymnasium.Env[Any, Any]):
    """Leaves its bounds at its third step, with a set in its info."""

    def __init__(self, *, deviates: bool) -> None:
        self.observation_space = spaces.Box(-1, 1, (2,), np.float32)
        self.action_space = spaces.Box(-1, 1, (1,), np.float32)
        self._deviates = deviates
        self._steps = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._steps = 0
        return np.zeros(2, np.float32), {"steps": 0}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._steps += 1
        now = self._deviates and self._steps == TURNING
        info = {"steps": self._steps, **({"tags": {"a"}} if now else {})}
        return np.full(2, 2.0 if now else 0.5, np.float32), 1.0, False, False, info


def three() -> Any:
    """A vector environment whose sub-environment 1 deviates."""
    return SyncVectorEnv([partial(Deviating, deviates=index == 1) for index in range(3)])


def infos_of(envs: Any) -> list[Any]:
    envs.reset(seed=1)
    actions = np.zeros((3, 1), np.float32)
    return [envs.step(actions)[-1] for _ in range(STEPS)]


def assert_said_of_the_second(infos: dict[str, Any]) -> None:
    for key in (WARNING, DEGRADED):
        assert infos[key].dtype == np.object_
        assert infos[key].shape == (3,)
        assert infos[f"_{key}"].dtype == np.bool_
        assert infos[f"_{key}"].tolist() == [False, True, False]
        assert infos[key][0] is infos[key][2] is None
    assert [(one["kind"], one["env_index"]) for one in infos[WARNING][1]] == [("bounds", 1)]
    assert [(one["path"], one["type"]) for one in infos[DEGRADED][1]] == [("$.tags[1]", "set")]


@pytest.mark.usefixtures("each_transport")
def test_a_vectors_infos_have_our_keys_with_masks_where_there_is_something_to_say() -> None:
    with remote_vector(three()) as client:
        infos = infos_of(client)
    for place, step in enumerate(infos, 1):
        ours = {key for key in step if "rlmesh." in key}
        assert bool(ours) == (place == TURNING)
    assert_said_of_the_second(infos[TURNING - 1])


def test_several_endpoints_have_them_for_the_sub_environment_that_they_are_of() -> None:
    with (
        serving(Deviating(deviates=False)) as first,
        serving(Deviating(deviates=True)) as second,
        serving(Deviating(deviates=False)) as third,
        contextlib.closing(
            rlmesh.RemoteVectorEnv([one.address for one in (first, second, third)])
        ) as client,
    ):
        infos = infos_of(client)[TURNING - 1]
    for key in (WARNING, DEGRADED):
        assert infos[f"_{key}"].tolist() == [False, True, False]
        assert len(infos[key][1]) == 1


def test_the_info_of_a_single_environment_stays_as_it_was_made_and_the_client_has_notices() -> None:
    local = Deviating(deviates=True)
    local.reset(seed=1)
    with (
        serving(Deviating(deviates=True)) as server,
        contextlib.closing(rlmesh.RemoteEnv[Any, Any](server.address)) as client,
    ):
        client.reset(seed=1)
        for _ in range(STEPS):
            action = np.zeros(1, np.float32)
            expected = {**local.step(action)[-1]}
            if "tags" in expected:
                expected["tags"] = str(expected["tags"])
            assert client.step(action)[-1] == expected
        assert [notice["key"] for notice in client.notices] == [WARNING, DEGRADED]


WRAPPERS: dict[str, Any] = {
    "ClipAction": wrappers.ClipAction,
    "ClipReward": lambda envs: wrappers.ClipReward(envs, -0.5, 0.5),
    "DictInfoToList": wrappers.DictInfoToList,
    "FlattenObservation": wrappers.FlattenObservation,
    "NormalizeObservation": wrappers.NormalizeObservation,
    "NormalizeReward": wrappers.NormalizeReward,
    "RecordEpisodeStatistics": wrappers.RecordEpisodeStatistics,
    "RescaleAction": lambda envs: wrappers.RescaleAction(
        envs, np.full(1, -2, np.float32), np.full(1, 2, np.float32)
    ),
    "RescaleObservation": lambda envs: wrappers.RescaleObservation(
        envs, np.float32(-2), np.float32(2)
    ),
    "TransformReward": lambda envs: wrappers.TransformReward(envs, lambda reward: reward),
}


@pytest.mark.parametrize("name", WRAPPERS)
def test_a_vector_wrapper_takes_an_environment_that_deviates(name: str) -> None:
    with remote_vector(three()) as client:
        infos = infos_of(WRAPPERS[name](client))
    if name == "DictInfoToList":
        assert [list(step) for step in infos[TURNING - 1]] == [
            ["steps"],
            ["steps", "tags", WARNING, DEGRADED],
            ["steps"],
        ]
    else:
        assert_said_of_the_second(infos[TURNING - 1])


def test_gymnasium_makes_the_same_infos_of_remote_environments_as_of_local_ones() -> None:
    local = three()
    expected = infos_of(local)[TURNING - 1]
    with (
        serving(Deviating(deviates=False)) as first,
        serving(Deviating(deviates=True)) as second,
        serving(Deviating(deviates=False)) as third,
    ):
        makers = [
            partial(rlmesh.RemoteEnv, address)
            for address in (first.address, second.address, third.address)
        ]
        envs: Any = SyncVectorEnv(makers)
        infos = infos_of(envs)[TURNING - 1]
        envs.close()
    assert set(infos) == set(expected)
    assert infos["_tags"].tolist() == expected["_tags"].tolist()
