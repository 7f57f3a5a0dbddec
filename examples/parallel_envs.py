"""Step environments in parallel worker processes, and do not wait for the slowest.

python parallel_envs.py
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np

import rlmesh

NUM_ENVS, BATCH, ROUNDS = 4, 3, 20


class Uneven(gym.Wrapper[Any, Any, Any, Any]):
    """Takes as long for a step as it is told to."""

    def __init__(self, env: gym.Env[Any, Any], seconds: float) -> None:
        super().__init__(env)
        self._seconds = seconds

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        time.sleep(self._seconds)
        return self.env.step(action)


def make(seconds: float) -> gym.Env[Any, Any]:
    return Uneven(gym.make("CartPole-v1"), seconds)


if __name__ == "__main__":
    # The last one is ten times slower than the others.
    factories = [partial(make, 0.002)] * (NUM_ENVS - 1) + [partial(make, 0.02)]
    with rlmesh.make_vec(factories, workers=NUM_ENVS, batch_size=BATCH) as envs:
        envs.reset(seed=0)
        steps = np.zeros(NUM_ENVS, np.int64)
        envs.send(np.zeros(NUM_ENVS, np.int64))
        for _ in range(ROUNDS):
            observations, rewards, terminations, truncations, infos = envs.recv()
            steps[infos["env_id"]] += 1
            envs.send((observations[:, 2] > 0).astype(np.int64), infos["env_id"])
    print(f"{steps.sum()} steps; the slowest sub-environment made fewer than the others:")
    print(steps.tolist())
