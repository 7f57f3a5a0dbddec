"""Serve a vector environment, and collect a batch from it as a trainer does.

python vector_env.py
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

import rlmesh

NUM_ENVS, STEPS = 4, 200

if __name__ == "__main__":
    served = gym.make_vec("CartPole-v1", num_envs=NUM_ENVS, vectorization_mode="sync")
    with rlmesh.EnvServer(served) as server:
        remote = rlmesh.RemoteVectorEnv[Any, Any](server.address, autoreset="same_step")
        envs = gym.wrappers.vector.RecordEpisodeStatistics(remote)
        remote.action_space.seed(0)
        observations, infos = envs.reset(seed=0)
        batch = np.empty((STEPS, *observations.shape), observations.dtype)
        returns: list[float] = []
        for step in range(STEPS):
            batch[step] = observations
            actions = remote.action_space.sample()
            observations, rewards, terminations, truncations, infos = envs.step(actions)
            ended = terminations | truncations
            if ended.any():
                # Until here the last observations of these episodes are in infos["final_obs"].
                returns += infos["episode"]["r"][ended].tolist()
        envs.close()
    print(f"batch of shape {batch.shape}, {len(returns)} episodes, mean {np.mean(returns):.1f}")
