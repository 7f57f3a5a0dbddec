"""Environments that leave their bounds at their third step."""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import SyncVectorEnv

TURNING = 3
STEPS = 5


class Deviating(gymnasium.Env[Any, Any]):
    """Leaves its bounds at its third step; its infos have the same keys in every step."""

    def __init__(self, *, deviates: bool = True, steps: int = STEPS) -> None:
        self.observation_space = spaces.Box(-1, 1, (2,), np.float32)
        self.action_space = spaces.Box(-1, 1, (1,), np.float32)
        self.render_mode = "rgb_array"
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": 1000}
        self._deviates = deviates
        self._last = steps
        self._steps = 0

    def _info(self) -> dict[str, Any]:
        return {"steps": np.int64(self._steps), "speed": np.full(2, self._steps, np.float32)}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._steps = 0
        return np.zeros(2, np.float32), self._info()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._steps += 1
        out = self._deviates and self._steps == TURNING
        observation = np.full(2, 2.0 if out else 0.5, np.float32)
        return observation, 1.0, False, self._steps >= self._last, self._info()

    def render(self) -> Any:
        return np.full((4, 4, 3), self._steps, np.uint8)


def three(mode: Any = "NextStep") -> Any:
    """A vector environment whose sub-environment 1 deviates."""
    makers = [partial(Deviating, deviates=index == 1) for index in range(3)]
    return SyncVectorEnv(makers, autoreset_mode=mode)
