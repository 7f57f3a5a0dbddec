"""Environments that the tests of the command line name: they stop where a test wants them to.

Each is named as `support.cli_envs:NAME`; importing this module registers `Endless-v0`.
"""

from __future__ import annotations

import gc
import hashlib
import threading
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np


class Counter(gymnasium.Env[np.int64, np.int64]):
    """Counts its steps, and never ends an episode.

    Args:
        closed_file: Where it notes that it was closed; None: nowhere.
    """

    def __init__(self, closed_file: str | None = None, render_mode: str | None = None) -> None:
        self.observation_space = gymnasium.spaces.Discrete(1_000_000)
        self.action_space = gymnasium.spaces.Discrete(2)
        self.render_mode = render_mode
        self._closed_file = closed_file
        self._count = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.int64, dict[str, Any]]:
        super().reset(seed=seed)
        self._count = 0
        return np.int64(0), {
            "thread": threading.current_thread() is threading.main_thread(),
            "collects": gc.isenabled() and gc.get_freeze_count() > 0,
        }

    def step(self, action: np.int64) -> tuple[np.int64, float, bool, bool, dict[str, Any]]:
        self._count += 1
        return np.int64(self._count), 1.0, False, False, {}

    def close(self) -> None:
        if self._closed_file is not None:
            with Path(self._closed_file).open("a") as file:
                file.write("closed\n")


class SlowToLoad(Counter):
    """Tells through one FIFO that it is being made, and is never done."""

    def __init__(self, loading: str, closed_file: str | None = None) -> None:
        super().__init__(closed_file)
        Path(loading).write_text("loading\n")
        threading.Event().wait()


class StubbornToLoad(Counter):
    """Tells through one FIFO that it is being made, and never lets itself be interrupted."""

    def __init__(self, loading: str) -> None:
        super().__init__()
        Path(loading).write_text("loading\n")
        busy_in_c()


class BusyInC(Counter):
    """Tells through one FIFO that a step has begun, which goes on in C code for an hour."""

    def __init__(self, began: str) -> None:
        super().__init__()
        self._began = began

    def step(self, action: np.int64) -> tuple[np.int64, float, bool, bool, dict[str, Any]]:
        Path(self._began).write_text("in a step\n")
        busy_in_c()
        return super().step(action)


def busy_in_c() -> None:
    """Computes in C code, which lets other threads run and is not interrupted by signals."""
    hashlib.pbkdf2_hmac("sha512", b"password", b"salt", 2**31 - 1)


class Gated(Counter):
    """Tells through one FIFO that a step has begun, and waits for a line from another one."""

    def __init__(self, began: str, go: str, closed_file: str | None = None) -> None:
        super().__init__(closed_file)
        self._began = began
        self._go = go

    def step(self, action: np.int64) -> tuple[np.int64, float, bool, bool, dict[str, Any]]:
        Path(self._began).write_text("in a step\n")
        Path(self._go).read_text()
        return super().step(action)


class Raising:
    """Cannot be made."""

    def __init__(self) -> None:
        raise ValueError("the simulator\nis not installed")


class Exiting:
    """Takes the whole process with it, if it can."""

    def __init__(self) -> None:
        raise SystemExit(0)


class Factories:
    """A place inside of a module."""

    @staticmethod
    def counter(closed_file: str | None = None) -> Counter:
        """Makes a counter."""
        return Counter(closed_file)


class Breaking(Counter):
    """Raises at its third step."""

    def step(self, action: np.int64) -> tuple[np.int64, float, bool, bool, dict[str, Any]]:
        if self._count == 2:
            raise ArithmeticError("the physics exploded")
        return super().step(action)


class Screaming(Counter):
    """Raises in every step, with a message of a hundred thousand characters."""

    def step(self, action: np.int64) -> tuple[np.int64, float, bool, bool, dict[str, Any]]:
        raise ArithmeticError("x" * 100_000)


class Padded(Counter):
    """Observes NaN."""

    def __init__(self) -> None:
        super().__init__()
        self.observation_space: Any = gymnasium.spaces.Box(-np.inf, np.inf, (2,))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        return np.full(2, np.nan, np.float32), {}


class Unsupported(Counter):
    """Has an observation space that RLMesh does not carry."""

    def __init__(self, closed_file: str | None = None) -> None:
        super().__init__(closed_file)
        self.observation_space: Any = gymnasium.spaces.Sequence(gymnasium.spaces.Discrete(2))


NOT_CALLABLE = np.zeros(3)

gymnasium.register(id="Endless-v0", entry_point=f"{__name__}:Counter")
