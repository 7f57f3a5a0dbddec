"""The environments that are stepped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt


class Camera(gym.Env[npt.NDArray[np.uint8], Any]):
    """Gives a new frame of uint8 pixels each step, at no cost of its own."""

    def __init__(self, height: int, width: int) -> None:
        shape = (height, width, 3)
        self.observation_space = gym.spaces.Box(0, 255, shape, np.uint8)
        self.action_space = gym.spaces.Discrete(2)
        self._frames = np.random.default_rng(0).integers(0, 256, (4, *shape), np.uint8)
        self._step = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[npt.NDArray[np.uint8], dict[str, Any]]:
        """The first frame."""
        super().reset(seed=seed)
        return self._frames[0], {}

    def step(self, action: Any) -> tuple[npt.NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """The next of a few frames, made before."""
        self._step += 1
        return self._frames[self._step % 4], 1.0, False, False, {}


WORKLOADS: dict[str, Callable[[], gym.Env[Any, Any]]] = {
    "CartPole-v1": lambda: gym.make("CartPole-v1"),
    "image 84x84x3": lambda: Camera(84, 84),
    "image 480x640x3": lambda: Camera(480, 640),
}
