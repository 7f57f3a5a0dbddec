"""PPO of RLlib on remote environments, single and vector.

    python rllib_ppo.py

RLlib makes its environments itself: give it a function that connects.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import ray
from ray.rllib.algorithms.ppo import PPOConfig
from ray.tune.registry import register_env

import rlmesh


def connect(config: Any) -> Any:
    """A client; `num_envs` is in the configuration where RLlib wants a vector environment."""
    if "num_envs" in config:
        return rlmesh.RemoteVectorEnv(config["address"], num_envs=config["num_envs"])
    return rlmesh.RemoteEnv(config["address"])


def learn(
    make: Any, steps: int, *, address: str = "", num_envs: int = 1, mode: str = "sync"
) -> dict[str, Any]:
    """Trains for that many steps, of all sub-environments together; returns the weights.

    Args:
        make: What makes an environment from its configuration.
        steps: How many.
        address: What the configuration holds for `connect`.
        num_envs: The number of sub-environments.
        mode: "sync": one environment for each; "vector_entry_point": one vector environment.
    """
    register_env("CartPole", make)
    config = (
        PPOConfig()
        .environment("CartPole", env_config={"address": address})
        .env_runners(
            num_env_runners=0, num_envs_per_env_runner=num_envs, gym_env_vectorize_mode=mode
        )
        .training(train_batch_size=steps // 2, minibatch_size=64, num_epochs=2)
        .rl_module(model_config={"fcnet_hiddens": [32]})
        .debugging(seed=1)
    )
    algorithm = config.build_algo()
    try:
        algorithm.train()
        algorithm.train()
        return {key: value.numpy() for key, value in algorithm.get_module().state_dict().items()}
    finally:
        algorithm.stop()


if __name__ == "__main__":
    ray.init(num_cpus=1, include_dashboard=False)
    with rlmesh.EnvServer(gym.make("CartPole-v1")) as server:
        learn(connect, 1024, address=server.address)
        print("single: learned from 1024 steps")
    with rlmesh.EnvServer([gym.make("CartPole-v1") for _ in range(4)]) as server:
        learn(connect, 1024, address=server.address, num_envs=4, mode="vector_entry_point")
        print("vector: learned from 1024 steps")
    ray.shutdown()
