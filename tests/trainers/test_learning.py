"""A trainer learns the same weights remotely as in its own process, from the same seed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import gymnasium
import pytest
import stable_baselines3 as sb3
import torch
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.monitor import Monitor

from support.serving import remote

LEARNERS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "PPO": (
        "CartPole-v1",
        lambda env: sb3.PPO("MlpPolicy", env, n_steps=64, batch_size=32, seed=1, device="cpu"),
    ),
    "DQN": (
        "CartPole-v1",
        lambda env: sb3.DQN("MlpPolicy", env, learning_starts=50, seed=1, device="cpu"),
    ),
    "SAC": (
        "Pendulum-v1",
        lambda env: sb3.SAC("MlpPolicy", env, learning_starts=50, seed=1, device="cpu"),
    ),
}
STEPS = 128

# Networks this small are slower on several threads.
torch.set_num_threads(1)


def learned(name: str, env: gymnasium.Env[Any, Any]) -> dict[str, torch.Tensor]:
    model = LEARNERS[name][1](env)
    model.learn(STEPS)
    weights: dict[str, torch.Tensor] = model.policy.state_dict()
    return weights


@pytest.mark.parametrize("name", LEARNERS)
def test_a_learner_learns_the_same_weights(name: str) -> None:
    env_id, _ = LEARNERS[name]
    with contextlib.closing(gymnasium.make(env_id)) as env:
        expected = learned(name, env)
    with remote(gymnasium.make(env_id)) as client:
        weights = learned(name, client)
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[key], expected[key]) for key in expected)


def test_the_checker_of_stable_baselines_accepts_a_client() -> None:
    with remote(gymnasium.make("CartPole-v1")) as client:
        check_env(client)


def test_a_policy_is_evaluated_by_a_callback_on_another_client() -> None:
    with remote(gymnasium.make("CartPole-v1")) as env, remote(gymnasium.make("CartPole-v1")) as two:
        model = LEARNERS["PPO"][1](env)
        evaluation = EvalCallback(Monitor(two), eval_freq=64, n_eval_episodes=2, verbose=0)
        model.learn(128, callback=evaluation)
        assert evaluation.evaluations_results == []
        assert evaluation.best_mean_reward > 0
