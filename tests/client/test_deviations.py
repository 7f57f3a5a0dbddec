"""Every wrapper of Gymnasium over a client whose environment deviates at its third step."""

from __future__ import annotations

import contextlib
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import wrappers

import rlmesh
from rlmesh.codec.infos.info_keys import CONFORMANCE_WARNING
from support.comparing import assert_same
from support.deviating_envs import STEPS, Deviating
from support.serving import remote, serving

ONE = np.full(1, 1, np.float32)
WRAPPERS: dict[str, Any] = {
    "AddRenderObservation": wrappers.AddRenderObservation,
    "Autoreset": wrappers.Autoreset,
    "ClipAction": wrappers.ClipAction,
    "ClipReward": lambda env: wrappers.ClipReward(env, 0, 0.5),
    "DelayObservation": lambda env: wrappers.DelayObservation(env, 1),
    "DtypeObservation": lambda env: wrappers.DtypeObservation(env, np.float64),
    "FlattenObservation": wrappers.FlattenObservation,
    "FrameStackObservation": lambda env: wrappers.FrameStackObservation(env, 2),
    "MaxAndSkipObservation": lambda env: wrappers.MaxAndSkipObservation(env, 2),
    "NormalizeObservation": wrappers.NormalizeObservation,
    "NormalizeReward": wrappers.NormalizeReward,
    "OrderEnforcing": wrappers.OrderEnforcing,
    "PassiveEnvChecker": wrappers.PassiveEnvChecker,
    "RecordEpisodeStatistics": wrappers.RecordEpisodeStatistics,
    "RenderCollection": wrappers.RenderCollection,
    "RescaleAction": lambda env: wrappers.RescaleAction(env, -2 * ONE, 2 * ONE),
    "RescaleObservation": lambda env: wrappers.RescaleObservation(
        env, np.full(2, -2, np.float32), np.full(2, 2, np.float32)
    ),
    "ReshapeObservation": lambda env: wrappers.ReshapeObservation(env, (2, 1)),
    "StickyAction": lambda env: wrappers.StickyAction(env, 0.0),
    "TimeAwareObservation": lambda env: wrappers.TimeAwareObservation(wrappers.TimeLimit(env, 4)),
    "TimeLimit": lambda env: wrappers.TimeLimit(env, 4),
    "TransformAction": lambda env: wrappers.TransformAction(
        env, lambda action: action / 2, env.action_space
    ),
    "TransformObservation": lambda env: wrappers.TransformObservation(
        env, lambda observation: observation * 2, env.observation_space
    ),
    "TransformReward": lambda env: wrappers.TransformReward(env, lambda reward: float(reward) * 2),
}


def transitions(env: gymnasium.Env[Any, Any]) -> list[Any]:
    with warnings.catch_warnings():
        # Gymnasium's checker warns about the deviation, here as there.
        warnings.simplefilter("ignore")
        told = [env.reset(seed=1)]
        for _ in range(STEPS):
            transition: Any = env.step(np.zeros(1, np.float32))
            # How long an episode took in seconds is nobody's promise.
            transition[-1].get("episode", {}).pop("t", None)
            told.append(transition)
            if transition[2] or transition[3]:
                break
    return told


# DtypeObservation casts the bounds of a space, here as there.
@pytest.mark.filterwarnings("ignore:overflow encountered in cast:RuntimeWarning")
@pytest.mark.parametrize("name", WRAPPERS)
def test_a_wrapper_does_what_it_does_locally(name: str) -> None:
    wrap = WRAPPERS[name]
    with contextlib.closing(Deviating()) as local:
        expected = transitions(wrap(local))
    with remote(Deviating()) as client:
        assert_same(transitions(wrap(client)), expected)
        assert [notice["key"] for notice in client.notices] == [CONFORMANCE_WARNING]


def test_an_asynchronous_vector_of_clients_gives_the_infos_of_the_environments() -> None:
    with serving(partial(Deviating, deviates=True), sessions=2) as server:
        connect = partial(rlmesh.RemoteEnv, server.address, busy_timeout_seconds=60)
        envs: Any = gymnasium.vector.AsyncVectorEnv([connect] * 2, context="spawn")
        with contextlib.closing(envs):
            envs.reset(seed=1)
            infos = [envs.step(np.zeros((2, 1), np.float32))[-1] for _ in range(STEPS)]
    assert [info["steps"].tolist() for info in infos] == [
        [step] * 2 for step in range(1, STEPS + 1)
    ]
    assert {key for info in infos for key in info} == {"steps", "_steps", "speed", "_speed"}


@pytest.mark.exotic
def test_a_film_is_recorded(tmp_path: Path) -> None:
    pytest.importorskip("moviepy", reason="RecordVideo needs MoviePy")
    with remote(Deviating()) as client:
        env = wrappers.RecordVideo(client, str(tmp_path / "film"), episode_trigger=lambda _: True)
        with contextlib.closing(env):
            assert len(transitions(env)) == STEPS + 1
    assert [file.suffix for file in (tmp_path / "film").iterdir()] == [".mp4"]
