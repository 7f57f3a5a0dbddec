"""How long an evaluation takes beside the ideal schedule: `python -m benchmarks.evaluation`.

In one run, with 1, 4 and 16 episodes at once: `rlmesh.evaluate` in this process and at a server in
another one, and `evaluate_policy` of Stable-Baselines3 with as many processes, where that is
installed. A step sleeps, as one whose simulator computes elsewhere; episodes have 20 steps, and
each tenth about 200.

Two schedules are the measure. `ideal` is a bound for whoever knows all lengths beforehand: the
steps of all episodes, divided, or the longest episode. `greedy` is the best that can be done by
whoever does not: each that is free takes the next episode. How long a step takes is measured in the
same run, in as many threads that do nothing else.
"""

from __future__ import annotations

import argparse
import contextlib
import heapq
import importlib
import importlib.util
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete

import rlmesh

_STEP_SECONDS = 0.005
_SHORT, _LONG, _EACH = 20, 200, 10
_AT_ONCE = (1, 4, 16)


class Skewed(gymnasium.Env[Any, Any]):
    """Most episodes are short, and some are long; a step sleeps."""

    metadata = {"render_modes": []}  # noqa: RUF012 - as Gymnasium has it
    observation_space = Box(-1, 1, (4,), np.float32)
    action_space = Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        """Begins an episode."""
        super().reset(seed=seed)
        self._left = int(self.np_random.integers(_SHORT // 2, 3 * _SHORT // 2))
        if self.np_random.random() < 1 / _EACH:
            self._left = int(self.np_random.integers(_LONG // 2, 3 * _LONG // 2))
        return np.zeros(4, np.float32), {}

    def step(self, action: Any) -> Any:
        """Takes a step."""
        time.sleep(_STEP_SECONDS)
        self._left -= 1
        return np.zeros(4, np.float32), 1.0, self._left == 0, False, {}


class _Still:
    """A policy, as Stable-Baselines3 asks one."""

    def predict(self, observation: Any, **_: Any) -> Any:
        return np.zeros(len(observation), np.int64), None


@dataclass(frozen=True, slots=True)
class Measured:
    """One evaluation.

    Attributes:
        seconds: How long it took.
        lengths: The steps of its episodes, in their order.
        step_seconds: How long a step took in as many threads that did nothing else.
    """

    seconds: float
    lengths: Sequence[int]
    step_seconds: float

    def ratios(self, at_once: int) -> tuple[float, float]:
        """How long it took, in parts of the ideal and of the greedy schedule."""
        ideal = max(sum(self.lengths) / at_once, *self.lengths)
        ends = [0] * at_once
        for length in self.lengths:
            heapq.heapreplace(ends, ends[0] + length)
        steps = self.seconds / self.step_seconds
        return steps / ideal, steps / max(ends)


def measure(at_once: int, episodes: int, address: str, rounds: int) -> dict[str, list[Measured]]:
    """Measures all contenders by turns.

    Args:
        at_once: How many episodes run at once.
        episodes: How many episodes there are.
        address: Where the environment is served.
        rounds: How often all take turns.
    """
    contenders: dict[str, Callable[[], tuple[float, Sequence[int]]]] = {
        "rlmesh.evaluate": lambda: _ours(Skewed, at_once, episodes),
        "rlmesh.evaluate, served": lambda: _ours(address, at_once, episodes),
    }
    if importlib.util.find_spec("stable_baselines3") is not None:
        contenders["evaluate_policy"] = lambda: _theirs(at_once, episodes)
    found: dict[str, list[Measured]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            step = _step_seconds(at_once)
            seconds, lengths = run()
            found[name].append(Measured(seconds, lengths, step))
    return found


def _ours(envs: Any, at_once: int, episodes: int) -> tuple[float, Sequence[int]]:
    began = time.perf_counter()
    result = rlmesh.evaluate(_stay, envs, episodes=episodes, workers=at_once)
    return time.perf_counter() - began, [each.length for each in result.episodes]


def _stay(observation: Any) -> int:
    return 0


def _theirs(at_once: int, episodes: int) -> tuple[float, Sequence[int]]:
    vectors: Any = importlib.import_module("stable_baselines3.common.vec_env")
    evaluation: Any = importlib.import_module("stable_baselines3.common.evaluation")
    # The start of its processes is not counted.
    env = vectors.VecMonitor(vectors.SubprocVecEnv([Skewed] * at_once, start_method="forkserver"))
    try:
        env.seed(0)
        began = time.perf_counter()
        _, lengths = evaluation.evaluate_policy(
            _Still(), env, n_eval_episodes=episodes, return_episode_rewards=True
        )
        return time.perf_counter() - began, lengths
    finally:
        env.close()


def _step_seconds(at_once: int) -> float:
    """How long a step takes in as many threads at once."""
    taken: list[float] = []

    def take() -> None:
        env = Skewed()
        env.reset(seed=0)
        began = time.perf_counter()
        for _ in range(60):
            env.step(0)
        taken.append((time.perf_counter() - began) / 60)

    threads = [threading.Thread(target=take) for _ in range(at_once)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statistics.fmean(taken)


@contextlib.contextmanager
def _served() -> Generator[str]:
    command = [sys.executable, "-m", "benchmarks.evaluation", "--serve"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield next(iter(process.stdout or ())).strip()
        finally:
            process.terminate()


def main() -> None:
    """Measures, and prints."""
    parser = argparse.ArgumentParser(description="Measures how long an evaluation takes.")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--at-once", type=int, nargs="*", default=_AT_ONCE)
    parser.add_argument("--episodes", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print a line of JSON for each, too")
    given = parser.parse_args()
    if given.serve:
        server = rlmesh.EnvServer(Skewed, sessions=max(_AT_ONCE))
        print(server.address, flush=True)
        server.serve()
        return
    with _served() as address:
        for at_once in given.at_once:
            for name, turns in measure(at_once, given.episodes, address, given.rounds).items():
                ideal, greedy = zip(*(turn.ratios(at_once) for turn in turns), strict=True)
                print(
                    f"{at_once:3} at once  {name:24} {turns[-1].seconds:7.2f} s, "
                    f"{statistics.median(ideal):.3f} of the ideal schedule, "
                    f"{statistics.median(greedy):.3f} of the greedy one"
                )
                if given.json:
                    print(json.dumps({"at_once": at_once, "name": name, "of_ideal": ideal}))


if __name__ == "__main__":
    main()
