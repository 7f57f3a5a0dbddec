"""Drives episodes with random actions, and keeps count."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Any

import gymnasium


@dataclass(slots=True)
class Tally:
    """What has been driven so far.

    Attributes:
        returns: The return of each episode that has ended.
        steps: How many steps were made, those of the episode in progress included.
        cut: How many episodes were cut because they had no end of their own.
        step_seconds: How long each step took.
    """

    returns: list[float] = field(default_factory=list[float])
    steps: int = 0
    cut: int = 0
    step_seconds: list[float] = field(default_factory=list[float])
    _started: float = 0.0
    _ended: float | None = None

    @contextlib.contextmanager
    def running(self) -> Generator[None]:
        """Runs the clock inside of this."""
        self._started = time.perf_counter()
        try:
            yield
        finally:
            self._ended = time.perf_counter()

    @property
    def steps_per_second(self) -> float:
        """How many steps a second, resets included."""
        now = time.perf_counter() if self._ended is None else self._ended
        return self.steps / (now - self._started)

    @property
    def mean_return(self) -> float:
        """The mean over the episodes that have ended; NaN if none has."""
        return statistics.fmean(self.returns) if self.returns else float("nan")

    @property
    def median_step_seconds(self) -> float:
        """How long a step takes in the middle; NaN if none was made."""
        return statistics.median(self.step_seconds) if self.step_seconds else float("nan")


def drive(
    env: gymnasium.Env[Any, Any],
    tally: Tally,
    *,
    episodes: int,
    seed: int | None,
    max_steps: int,
) -> Iterator[bool]:
    """Drives episodes, and yields after every step whether an episode has just ended.

    Args:
        env: The environment.
        tally: Where to count.
        episodes: How many episodes.
        seed: Makes the episodes repeatable; None: they are not.
        max_steps: After how many steps an episode is cut.
    """
    env.action_space.seed(seed)
    now = time.perf_counter
    for episode in range(episodes):
        env.reset(seed=seed if episode == 0 else None)
        total, over = 0.0, False
        for step in range(1, max_steps + 1):
            action = env.action_space.sample()
            before = now()
            _, reward, terminated, truncated, _ = env.step(action)
            tally.step_seconds.append(now() - before)
            tally.steps += 1
            total += float(reward)
            over = terminated or truncated
            if over or step == max_steps:
                break
            yield False
        tally.cut += not over
        tally.returns.append(total)
        yield True
