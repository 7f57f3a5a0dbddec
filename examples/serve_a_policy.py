"""Serve a policy and an environment, each behind its own address, and let one drive the other.

    python serve_a_policy.py

The worker would run on the machine with the GPU. The loop knows neither the policy nor the
environment; before it begins, the two contracts are compared.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete

import rlmesh


class Balance:
    """Pushes the cart under the pole."""

    id = "Balance-v1"
    observation_space = Box(-np.inf, np.inf, (4,), np.float32)
    action_space = Discrete(2)

    def predict(self, observation: Any) -> int:
        _, velocity, angle, turning = observation
        return int(0.2 * velocity + angle + 0.5 * turning > 0)


def drive(env_address: str, model_address: str) -> float:
    total, over = 0.0, False
    with (
        rlmesh.RemoteEnv(env_address) as env,
        rlmesh.RemoteModel(model_address, env=env) as model,
    ):
        observation, _ = env.reset(seed=0)
        model.reset(seed=0)
        while not over:
            observation, reward, terminated, truncated, _ = env.step(model.predict(observation))
            total, over = total + float(reward), terminated or truncated
        stats = model.stats()["predict"]
        print(f"{stats.count} predictions by {model.model_contract.id} over {model.transport}")
    return total


if __name__ == "__main__":
    server = rlmesh.EnvServer(gym.make("CartPole-v1"))
    worker = rlmesh.ModelWorker(Balance())
    with server, worker:
        print(f"return {drive(server.address, worker.address):g}")
