"""Environments whose sessions are fed: all kinds of leaves, and two sub-environments."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import SyncVectorEnv

EXPOSED = ("level", "move")


class Probe(gymnasium.Env[Any, Any]):
    """Observes the same at every step.

    Attributes:
        level: To be read and set.
    """

    def __init__(self, space: spaces.Space[Any]) -> None:
        space.seed(0)
        self.observation_space = self.action_space = space
        self.level: Any = 1
        self._observation = space.sample()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Starts again, with what it was given in the info."""
        super().reset(seed=seed)
        return self._observation, {"options": options}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Takes an action, and does nothing."""
        return self._observation, 1.0, False, False, {}

    def render(self) -> Any:
        """A picture."""
        return np.zeros((2, 2, 3), np.uint8)

    def move(self, *arguments: Any, **keywords: Any) -> Any:
        """Gives what it was given."""
        return [arguments, keywords]


def single() -> Probe:
    """An environment with a leaf of every kind."""
    return Probe(
        spaces.Dict(
            {
                "box": spaces.Box(-1, 1, (2,), np.float32),
                "flags": spaces.Box(0, 1, (3,), np.bool_),  # type: ignore[arg-type] # as Gymnasium carries it
                "discrete": spaces.Discrete(4, start=-1),
                "text": spaces.Text(8),
                "many": spaces.Tuple([spaces.MultiDiscrete([2, 3]), spaces.MultiBinary(2)]),
            }
        )
    )


def vector() -> SyncVectorEnv[Any, Any]:
    """Two sub-environments of a box, the cheapest there are."""
    return SyncVectorEnv([lambda: Probe(spaces.Box(-1, 1, (2,), np.float32))] * 2)
