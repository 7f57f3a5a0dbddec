"""What recording costs a step: `python -m benchmarks.recording`.

In one run, by turns, a step of CartPole by itself, with `rlmesh.Recorder`, and with Minari's
`DataCollector` where Minari is installed.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium

import rlmesh

_ID = "CartPole-v1"
_ROUNDS = 9
_STEPS = 20_000


def _stepping(env: Any) -> float:
    """The microseconds of a step, its part of the resets included."""
    env.reset(seed=0)
    began = time.perf_counter()
    for number in range(_STEPS):
        *_, terminated, truncated, _ = env.step(number & 1)
        if terminated or truncated:
            env.reset()
    return (time.perf_counter() - began) / _STEPS * 1e6


def _minari() -> Callable[[], Any] | None:
    if importlib.util.find_spec("minari") is None:
        return None
    minari: Any = importlib.import_module("minari")
    return lambda: minari.DataCollector(gymnasium.make(_ID))


def measure(folder: Path) -> dict[str, float]:
    """The median of several turns for each contender, in microseconds.

    Args:
        folder: Where recordings go.
    """
    contenders: dict[str, Callable[[], Any]] = {
        "by itself": lambda: gymnasium.make(_ID),
        "rlmesh.Recorder": lambda: rlmesh.Recorder(gymnasium.make(_ID), folder),
    }
    collector = _minari()
    if collector is not None:
        contenders["minari.DataCollector"] = collector
    turns: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(_ROUNDS):
        for name, make in contenders.items():
            env = make()
            turns[name].append(_stepping(env))
            env.close()
    return {name: statistics.median(each) for name, each in turns.items()}


def main() -> None:
    """Measures, and prints."""
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder))
    alone = found["by itself"]
    for name, micros in found.items():
        print(f"{name:22} {micros:8.2f} us a step, {micros - alone:+7.2f} us")
    if "--json" in sys.argv:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
