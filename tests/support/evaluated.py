"""Environments and policies whose results follow from the seed alone."""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from rlmesh.evaluation import Episode


class Countdown(gymnasium.Env[Any, Any]):
    """An episode of 1 to `longest` steps, by its seed.

    Each step is rewarded by the action. The last step says whether the sum was even.

    Args:
        longest: The longest episode.
        breaks: The seeds of the episodes that raise at their second step.
        solves: What the key of the success is called; None: nothing says so.
    """

    metadata = {"render_modes": [], "render_fps": 10}  # noqa: RUF012 - as Gymnasium has it

    def __init__(
        self, longest: int = 40, breaks: tuple[int, ...] = (), solves: str | None = "is_success"
    ) -> None:
        self.observation_space = Box(-np.inf, np.inf, (2,), np.float64)
        self.action_space = Discrete(5)
        self._longest = longest
        self._breaks = breaks
        self._solves = solves
        self._seed: int | None = None
        self._left = self._total = 0
        self.actions: list[int] = []

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self._seed = seed
        self._left = int(self.np_random.integers(2, self._longest))
        self._total = 0
        self.actions = []
        return self._observation(), {}

    def step(self, action: Any) -> Any:
        if not self.action_space.contains(action):
            raise ValueError(f"{action!r} is no action")
        self.actions.append(int(action))
        if self._seed in self._breaks and len(self.actions) == 2:
            raise RuntimeError(f"seed {self._seed} breaks")
        self._left -= 1
        self._total += int(action)
        info = {self._solves: self._total % 2 == 0} if self._solves and not self._left else {}
        return self._observation(), float(action), self._left == 0, False, info

    def _observation(self) -> Any:
        return np.array([self._left, self.np_random.random()])


class Slow(Countdown):
    """An episode takes at least 0.1 seconds."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        time.sleep(0.1)
        return super().reset(seed=seed, options=options)


def several(count: int, **given: Any) -> SyncVectorEnv:
    """A vector environment of countdowns that leaves its resets to its driver."""
    make: Callable[[], Countdown] = lambda: Countdown(**given)  # noqa: E731 - one for each
    return SyncVectorEnv([make] * count, autoreset_mode=AutoresetMode.DISABLED)


def decide(observation: Any) -> int:
    """An action that depends on all of the observation."""
    return int(hashlib.sha256(np.ascontiguousarray(observation).tobytes()).digest()[0]) % 5


def push(observation: Any) -> int:
    """Always the same action."""
    return 1


def main() -> None:
    """Evaluates as the arguments say, and prints a line for each episode; for tests that kill."""
    import rlmesh

    def tell(episode: Episode) -> None:
        sys.stdout.write(f"{episode.seed}\n")
        sys.stdout.flush()

    address, path, episodes, workers = sys.argv[1:]
    rlmesh.evaluate(
        decide,
        address,
        episodes=int(episodes),
        workers=int(workers),
        resume=path,
        on_episode=tell,
    )


if __name__ == "__main__":
    main()
