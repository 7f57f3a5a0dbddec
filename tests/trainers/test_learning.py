"""A trainer learns the same weights remotely as in its own process, from the same seed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np
import pytest
import stable_baselines3 as sb3
import torch
from sb3_contrib import MaskablePPO
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.envs import BitFlippingEnv
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor, VecNormalize

import rlmesh.sb3
from support.serving import remote, serving


class Masked(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Allows the second action on one half of the track."""

    def action_masks(self) -> Any:
        unwrapped: Any = self.unwrapped
        return np.array([True, unwrapped.state[0] < 0])


SMALL = {"net_arch": [32]}
# What makes the environment, what a server exposes of it, and the learner.
LEARNERS: dict[str, tuple[Callable[[], Any], Sequence[str], Callable[[Any], Any]]] = {
    "PPO": (
        lambda: gymnasium.make("CartPole-v1"),
        (),
        lambda env: sb3.PPO("MlpPolicy", env, n_steps=64, batch_size=32, seed=1, device="cpu"),
    ),
    "DQN": (
        lambda: gymnasium.make("CartPole-v1"),
        (),
        lambda env: sb3.DQN("MlpPolicy", env, learning_starts=50, seed=1, device="cpu"),
    ),
    "SAC": (
        lambda: gymnasium.make("Pendulum-v1"),
        (),
        lambda env: sb3.SAC(
            "MlpPolicy", env, learning_starts=50, policy_kwargs=SMALL, seed=1, device="cpu"
        ),
    ),
    "SAC and HER": (
        lambda: BitFlippingEnv(4, continuous=True),
        ("compute_reward",),
        lambda env: sb3.SAC(
            "MultiInputPolicy",
            env,
            replay_buffer_class=sb3.HerReplayBuffer,
            learning_starts=50,
            batch_size=32,
            policy_kwargs=SMALL,
            seed=1,
            device="cpu",
        ),
    ),
    "MaskablePPO": (
        lambda: Masked(gymnasium.make("CartPole-v1")),
        ("action_masks",),
        lambda env: MaskablePPO("MlpPolicy", env, n_steps=64, batch_size=32, seed=1, device="cpu"),
    ),
}
# How many sub-environments a VecEnv has.
IN_VEC_ENVS = {"PPO": 2, "DQN": 1, "SAC and HER": 2, "MaskablePPO": 2}
STEPS = 128

# Networks this small are slower on several threads.
torch.set_num_threads(1)


def learned(make: Callable[[Any], Any], env: Any) -> dict[str, torch.Tensor]:
    model = make(env)
    model.learn(STEPS)
    weights: dict[str, torch.Tensor] = model.policy.state_dict()
    return weights


@pytest.mark.parametrize("name", LEARNERS)
def test_a_learner_learns_the_same_weights(name: str) -> None:
    make_env, exposed, make = LEARNERS[name]
    with contextlib.closing(make_env()) as env:
        expected = learned(make, env)
    with serving(make_env(), expose=exposed) as server:
        with contextlib.closing(rlmesh.RemoteEnv[Any, Any](server.address)) as client:
            weights = learned(make, client)
    assert_equal_weights(weights, expected)


@pytest.mark.parametrize("name", IN_VEC_ENVS)
def test_a_learner_learns_the_same_weights_in_a_vec_env(name: str) -> None:
    make_env, exposed, make = LEARNERS[name]
    num_envs = IN_VEC_ENVS[name]
    with contextlib.closing(DummyVecEnv([make_env] * num_envs)) as local:
        expected = learned(make, local)
    with serving([make_env() for _ in range(num_envs)], expose=exposed) as server:
        with contextlib.closing(rlmesh.sb3.VecEnv(server.address)) as envs:
            weights = learned(make, envs)
    assert_equal_weights(weights, expected)


def assert_equal_weights(
    actual: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]
) -> None:
    assert actual.keys() == expected.keys()
    assert all(torch.equal(actual[key], expected[key]) for key in expected)


def test_the_checker_of_stable_baselines_accepts_a_client() -> None:
    with remote(gymnasium.make("CartPole-v1")) as client:
        check_env(client)


def test_a_policy_is_evaluated_by_a_callback_on_another_client() -> None:
    with remote(gymnasium.make("CartPole-v1")) as env, remote(gymnasium.make("CartPole-v1")) as two:
        model = LEARNERS["PPO"][2](env)
        evaluation = EvalCallback(Monitor(two), eval_freq=64, n_eval_episodes=2, verbose=0)
        model.learn(128, callback=evaluation)
        assert evaluation.evaluations_results == []
        assert evaluation.best_mean_reward > 0


def evaluated(env: Any, other: Any) -> float:
    """The best mean reward of a policy that learns in one VecEnv and is evaluated in another."""
    envs = VecNormalize(VecMonitor(env))
    evaluation = EvalCallback(
        VecNormalize(VecMonitor(other), training=False), eval_freq=64, n_eval_episodes=3, verbose=0
    )
    other.seed(9)
    LEARNERS["PPO"][2](envs).learn(2 * STEPS, callback=evaluation)
    return float(evaluation.best_mean_reward)


def test_a_policy_in_normalised_vec_envs_is_evaluated_as_in_process() -> None:
    def makers() -> list[Any]:
        return [lambda: gymnasium.make("CartPole-v1") for _ in range(2)]

    with contextlib.closing(DummyVecEnv(makers())) as env:
        with contextlib.closing(DummyVecEnv(makers())) as other:
            expected = evaluated(env, other)
    with serving([make() for make in makers()]) as server, serving(DummyVecEnv(makers())) as two:
        with contextlib.closing(rlmesh.sb3.VecEnv(server.address)) as env:
            with contextlib.closing(rlmesh.sb3.VecEnv(two.address)) as other:
                assert evaluated(env, other) == expected
