"""Environments whose steps wait for their test: events in place of sleeps."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

import gymnasium
import numpy as np
from typing_extensions import Self


class Gates:
    """Named pipes, one for each sub-environment, through which a test lets a step go on."""

    def __init__(self, count: int) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.path: str = self._folder.name
        self._ends: list[int] = []
        for index in range(count):
            gate = _gate(self.path, index)
            os.mkfifo(gate)
            # For reading too: so neither side waits for the other to open it.
            self._ends.append(os.open(gate, os.O_RDWR))

    def open(self, index: int) -> None:
        """Lets one step of a sub-environment go on."""
        os.write(self._ends[index], b"\0")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for end in self._ends:
            os.close(end)
        self._folder.cleanup()


class GatedEnv(gymnasium.Env[Any, Any]):
    """Observes its action, once its gate lets the step go on.

    Args:
        path: The folder of the gates.
        index: Which gate.
    """

    def __init__(self, path: str, index: int) -> None:
        self.observation_space = gymnasium.spaces.Discrete(100)
        self.action_space = gymnasium.spaces.Discrete(100)
        self._index = index
        self._gate = os.open(_gate(path, index), os.O_RDONLY | os.O_NONBLOCK)
        os.set_blocking(self._gate, True)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return np.int64(0), {"pid": os.getpid()}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        wait_for_gate(self._gate)
        return action, 1.0, False, False, {"index": self._index}

    def close(self) -> None:
        os.close(self._gate)


def wait_for_gate(gate: int) -> None:
    """Waits until the test lets the step go on."""
    os.read(gate, 1)


def _gate(path: str, index: int) -> Path:
    return Path(path) / str(index)
