"""Drive a remote environment with Gymnasium's own wrappers.

    python drive_with_wrappers.py tcp://127.0.0.1:5555

Any single environment that observes arrays can be at the address: that of `serve_your_own.py`, or
what `rlmesh serve CartPole-v1 --address tcp://127.0.0.1:5555` serves.
"""

from __future__ import annotations

import sys
from typing import Any

import gymnasium as gym

import rlmesh

remote: gym.Env[Any, Any] = rlmesh.RemoteEnv(sys.argv[1])
env: gym.Env[Any, Any] = gym.wrappers.TimeLimit(remote, max_episode_steps=50)
env = gym.wrappers.RecordEpisodeStatistics(env)
env = gym.wrappers.NormalizeObservation(env)

env.action_space.seed(7)
for episode in range(3):
    observation, info = env.reset(seed=episode)
    done = False
    while not done:
        observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
        done = terminated or truncated
    print(f"episode {episode}: {info['episode']['l']} steps, return {info['episode']['r']:.1f}")
env.close()
