"""What reads infos takes an environment that deviates at its third step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import minari
import numpy as np
import pytest
import torch
from gymnasium.envs.classic_control import CartPoleEnv
from gymnasium.vector import SyncVectorEnv
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    VecCheckNan,
    VecFrameStack,
    VecMonitor,
    VecNormalize,
)
from torchrl.envs import (
    Compose,
    DoubleToFloat,
    GymWrapper,
    RewardSum,
    StepCounter,
    default_info_dict_reader,
)

from rlmesh.codec.infos.info_keys import CONFORMANCE_WARNING
from support.comparing import assert_same
from support.deviating_envs import STEPS, TURNING, Deviating, three
from support.serving import remote, remote_vector

ACTION = np.zeros(1, np.float32)
EPISODES = 2


def dataset_of(env: gymnasium.Env[Any, Any], name: str) -> list[Any]:
    """What Minari keeps of some episodes."""
    collector: Any = minari.DataCollector(env, record_infos=True)
    for _ in range(EPISODES):
        collector.reset(seed=1)
        for _ in range(STEPS):
            collector.step(ACTION)
    dataset = collector.create_dataset(name)
    collector.close()
    return [
        (episode.observations, episode.actions, episode.rewards, episode.infos)
        for episode in dataset.iterate_episodes()
    ]


# Minari warns of deviations, here as there, and of what a dataset does not say. It leaves its
# temporary folders to Python.
@pytest.mark.filterwarnings("ignore::UserWarning:minari")
@pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_minari_records_the_infos_that_it_records_locally(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    expected = dataset_of(Deviating(), "local/deviating-v0")
    assert expected[0][3]["steps"].tolist() == list(range(STEPS + 1))
    with remote(Deviating()) as client:
        assert_same(dataset_of(client, "remote/deviating-v0"), expected)
        assert [notice["key"] for notice in client.notices] == [CONFORMANCE_WARNING]


WRAPPERS: dict[str, Any] = {
    "none": lambda envs: envs,
    "VecCheckNan": lambda envs: VecCheckNan(envs, raise_exception=True),
    "VecFrameStack": lambda envs: VecFrameStack(envs, 2),
    "VecMonitor": VecMonitor,
    "VecNormalize": VecNormalize,
}


def stable_baselines_steps(env: gymnasium.Env[Any, Any], name: str) -> list[Any]:
    envs: Any = DummyVecEnv([lambda: Monitor(env)] if name != "VecMonitor" else [lambda: env])
    wrapped = WRAPPERS[name](envs)
    wrapped.seed(1)
    told = [wrapped.reset()]
    for _ in range(2 * STEPS):
        observations, rewards, dones, infos = wrapped.step(np.zeros((1, 1), np.float32))
        for info in infos:
            # How long an episode took in seconds is nobody's promise.
            info.get("episode", {}).pop("t", None)
        told.append((observations, rewards, dones, infos))
    assert wrapped.get_attr("render_mode") == ["rgb_array"]
    assert wrapped.env_is_wrapped(Monitor) == [name != "VecMonitor"]
    return told


@pytest.mark.parametrize("name", WRAPPERS)
def test_a_wrapper_of_stable_baselines_does_what_it_does_locally(name: str) -> None:
    expected = stable_baselines_steps(Deviating(), name)
    with remote(Deviating()) as client:
        assert_same(stable_baselines_steps(client, name), expected)


def rollout_of(env: Any, keys: list[str]) -> dict[Any, Any]:
    made: Any = GymWrapper(env)
    if keys:
        made.set_info_dict_reader(default_info_dict_reader(keys))
    wrapped = made.append_transform(Compose(RewardSum(), StepCounter(), DoubleToFloat()))
    torch.manual_seed(1)
    wrapped.set_seed(1)
    rollout = wrapped.rollout(STEPS, break_when_any_done=False)
    return {
        key: value.numpy() for key, value in rollout.items(include_nested=True, leaves_only=True)
    }


def test_torchrl_reads_the_infos_that_it_reads_locally() -> None:
    expected = rollout_of(Deviating(), ["steps", "speed"])
    assert expected["next", "observation"][TURNING - 1].tolist() == [2, 2]
    with remote(Deviating()) as client:
        assert_same(rollout_of(client, ["steps", "speed"]), expected)


def cartpoles() -> Any:
    return SyncVectorEnv([CartPoleEnv] * 3, autoreset_mode="SameStep")


# TorchRL's check of specs refuses a deviation in the mode same_step, also of a local vector.
@pytest.mark.parametrize(
    "make", [lambda: three("Disabled"), cartpoles], ids=["disabled", "same_step"]
)
def test_torchrl_takes_a_vector_client_as_it_takes_a_local_vector(make: Any) -> None:
    expected = rollout_of(make(), [])
    with remote_vector(make()) as client:
        assert_same(rollout_of(client, []), expected)
