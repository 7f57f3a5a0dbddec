"""PufferLib's emulation of a remote environment: a structured observation becomes one flat array.

    python pufferlib_emulation.py

The emulation of many agents takes a `RemoteParallelEnv` in the same way.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from pufferlib.emulation import GymnasiumPufferEnv

import rlmesh


def make() -> gym.Env[Any, Any]:
    """CartPole whose observation is a dict of its state and of the time."""
    return gym.wrappers.TimeAwareObservation(gym.make("CartPole-v1"), flatten=False)


def rollout(env: gym.Env[Any, Any], steps: int) -> list[tuple[Any, ...]]:
    """Takes that many random steps; returns the flat observations, rewards and flags."""
    emulated = GymnasiumPufferEnv(env=env)
    emulated.action_space.seed(1)
    # The emulation writes each observation into the same memory.
    results: list[tuple[Any, ...]] = [(np.copy(emulated.reset(seed=1)[0]),)]
    for _ in range(steps):
        observation, *others, _ = emulated.step(emulated.action_space.sample())
        results.append((np.copy(observation), *others))
        if emulated.done:
            results.append((np.copy(emulated.reset()[0]),))
    return results


if __name__ == "__main__":
    with rlmesh.EnvServer(make()) as server, rlmesh.RemoteEnv(server.address) as env:
        observation = rollout(env, 1024)[-1][0]
        print(f"single: {observation.size} bytes an observation, over 1024 steps")
