"""Run an environment in its own process, and survive its crash.

python survive_a_crash.py
"""

from __future__ import annotations

import os
from typing import Any

import gymnasium as gym
import numpy as np

import rlmesh
from rlmesh.errors import EnvCrashedError


class Fragile(gym.Env[np.int64, np.int64]):
    """Counts its steps; action 1 aborts the process, as a segfault in a simulator does."""

    def __init__(self) -> None:
        self.observation_space = gym.spaces.Discrete(1000)
        self.action_space = gym.spaces.Discrete(2)
        self._count = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.int64, dict[str, Any]]:
        super().reset(seed=seed)
        self._count = 0
        return np.int64(0), {"pid": os.getpid()}

    def step(self, action: np.int64) -> tuple[np.int64, float, bool, bool, dict[str, Any]]:
        if action == 1:
            os.abort()
        self._count += 1
        return np.int64(self._count), 1.0, False, False, {}


if __name__ == "__main__":
    server = rlmesh.EnvServer(Fragile, isolation="process")
    with server, rlmesh.RemoteEnv(server.address) as env:
        _, info = env.reset()
        before = info["pid"]
        env.step(0)
        try:
            env.step(1)
        except EnvCrashedError as error:
            print(f"crashed: {str(error).splitlines()[0]}")
        # A reset starts a new worker process, and the run goes on.
        _, info = env.reset()
        observation, *_ = env.step(0)
        print(f"after the reset: step {observation}, in another process: {info['pid'] != before}")
