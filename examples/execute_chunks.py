"""Execute the chunks of a slow policy one action at a time, while it computes the next.

    python execute_chunks.py

A chunk has 8 actions. 4 of each are executed, and the next is asked for 3 actions before it is
needed, so that the policy computes while the environment steps.
"""

from __future__ import annotations

import time
from typing import Any

import gymnasium as gym
import numpy as np

import rlmesh


class Slow:
    """Swings a pendulum by plans of 8 torques; each takes it 20 ms."""

    observation_space = gym.make("Pendulum-v1").observation_space
    action_space = gym.make("Pendulum-v1").action_space
    horizon = 8

    def predict_chunk(self, observation: Any) -> Any:
        time.sleep(0.02)
        torque = 2 * np.sign(observation[2]) or 2.0
        return np.full((self.horizon, 1), torque, np.float32)


if __name__ == "__main__":
    with (
        rlmesh.ModelWorker(Slow()) as worker,
        rlmesh.RemoteModel(worker.address) as model,
        rlmesh.Chunks(model, execute=4, prefetch=3) as policy,
    ):
        env = gym.make("Pendulum-v1")
        observation, info = env.reset(seed=0)
        policy.reset(seed=0)
        for _ in range(40):
            observation, reward, terminated, truncated, info = env.step(policy.act(observation))
            time.sleep(0.01)  # what a robot takes for a step
        stats = policy.stats()
    print(f"{stats.executed} actions of {stats.asked} chunks, {stats.dropped} dropped")
    print(f"{stats.hidden:.0%} of the inference was hidden")
