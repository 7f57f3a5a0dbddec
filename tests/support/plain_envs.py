"""Objects that have the shape of an environment and know nothing of Gymnasium."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rlmesh import spaces


class PlainCounter:
    """Counts its steps: a plain object with RLMesh's own spaces.

    Observations are a dict with the count and the position that the actions add up to.
    """

    def __init__(self, render_mode: str | None = None) -> None:
        self.observation_space = spaces.Dict(
            {
                "count": spaces.Discrete(1000),
                "position": spaces.Box(-np.inf, np.inf, shape=(2,), dtype="float64"),
            }
        )
        self.action_space = spaces.Box(-1.0, 1.0, shape=(2,), dtype="float32")
        self.render_mode = render_mode
        self.closed = False
        self._count = 0
        self._position = np.zeros(2)

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        self._count = 0
        self._position = np.full(2, 0.0 if seed is None else float(seed))
        return self._observation(), {"seed": seed, "options": options}

    def step(
        self, action: npt.NDArray[np.float32]
    ) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        self._count += 1
        self._position = self._position + action
        return self._observation(), 0.5, self._count == 5, False, {"action": action}

    def render(self) -> str:
        return f"count {self._count}"

    def close(self) -> None:
        self.closed = True

    def _observation(self) -> dict[str, Any]:
        return {"count": self._count, "position": self._position}


class PlainVector:
    """Two counters side by side: a plain object of the shape of a vector environment."""

    num_envs = 2

    def __init__(self) -> None:
        self.single_observation_space = spaces.Box(0, 1000, shape=(1,), dtype="int64")
        self.single_action_space = spaces.Discrete(3)
        self.closed = False
        self._counts = np.zeros((2, 1), np.int64)

    def reset(
        self, seed: Any = None, options: dict[str, Any] | None = None
    ) -> tuple[npt.NDArray[np.int64], dict[str, Any]]:
        self._counts = np.zeros((2, 1), np.int64)
        return self._counts, {"seed": seed}

    def step(self, actions: npt.NDArray[np.int64]) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        self._counts = self._counts + actions[:, None]
        done = self._counts[:, 0] >= 10
        return self._counts, actions * 1.5, done, np.zeros(2, bool), {"actions": actions}

    def close(self) -> None:
        self.closed = True
