"""Serve an environment that you wrote yourself.

    python serve_your_own.py tcp://127.0.0.1:5555

It serves until Ctrl-C. Then run `drive_with_wrappers.py` with the same address in another terminal.
"""

from __future__ import annotations

import sys
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

import rlmesh


class Corridor(gym.Env[npt.NDArray[np.float32], np.int64]):
    """Walk from 0 to 10: action 1 goes forward, action 0 goes back."""

    def __init__(self) -> None:
        self.observation_space = gym.spaces.Box(0.0, 10.0, (1,), np.float32)
        self.action_space = gym.spaces.Discrete(2)
        self._place = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
        super().reset(seed=seed)
        self._place = int(self.np_random.integers(3))
        return self._observation(), {}

    def step(
        self, action: np.int64
    ) -> tuple[npt.NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        self._place = max(0, self._place + (1 if action == 1 else -1))
        arrived = self._place == 10
        return self._observation(), 1.0 if arrived else -0.1, arrived, False, {}

    def _observation(self) -> npt.NDArray[np.float32]:
        return np.array([self._place], np.float32)


if __name__ == "__main__":
    server = rlmesh.EnvServer(Corridor(), sys.argv[1])
    print(f"Corridor is served at {server.address}", flush=True)
    server.serve()
