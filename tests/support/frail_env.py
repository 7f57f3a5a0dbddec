"""An environment that dies or hangs in the way that its action names."""

from __future__ import annotations

import ctypes
import gc
import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

DEADLY = {
    "abort": "SIGABRT",
    "segfault": "SIGSEGV",
    "exit": "code 3",
    "sys.exit": "code 4",
    "kill": "SIGKILL",
}
"""What takes the process with it, and what is told of that."""
STUCK = ("loop", "native", "sleep")
"""What never returns; `native` keeps the interpreter to itself meanwhile."""
WAYS = ("count", "raise", *DEADLY, *STUCK)
"""What a step does, by its action."""


def way(name: str) -> np.int64:
    """The action that does it."""
    action: np.int64 = np.int64(WAYS.index(name))
    return action


class FrailEnv(gymnasium.Env[np.int64, np.int64]):
    """Counts its steps, unless its action is another one.

    The infos of resets tell the process, that of a child which it has started and never ends, and
    whether garbage is collected but not among what the worker has imported.

    Args:
        diary: A file in which it notes that it was made and closed; None: nowhere.
        child: Whether to start one.
    """

    metadata = {"render_modes": ["ansi"]}  # noqa: RUF012 - as Gymnasium has it

    def __init__(self, diary: str | None = None, *, child: bool = False) -> None:
        self.observation_space = gymnasium.spaces.Discrete(1_000_000)
        self.action_space = gymnasium.spaces.Discrete(len(WAYS))
        self.render_mode = "ansi"
        self.level = 1
        self._count = 0
        self._diary = diary
        self._note("made")
        self._child = None
        if child:
            self._child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.int64, dict[str, Any]]:
        super().reset(seed=seed)
        self._count = 0
        child = None if self._child is None else self._child.pid
        collects = gc.isenabled() and gc.get_freeze_count() > 0
        return np.int64(0), {"pid": os.getpid(), "child": child, "collects": collects}

    def step(self, action: np.int64) -> tuple[np.int64, float, bool, bool, dict[str, Any]]:
        self._count += 1
        _act(WAYS[action])
        return np.int64(self._count), 1.0, False, False, {}

    def render(self) -> str:
        return f"{self._count} steps"

    def close(self) -> None:
        self._note("closed")

    def _note(self, word: str) -> None:
        if self._diary is not None:
            with Path(self._diary).open("a") as file:
                file.write(f"{word}\n")


def _act(what: str) -> None:
    if what == "raise":
        raise ValueError("an exception is no crash")
    if what in DEADLY:
        _die(what)
    elif what == "loop":
        while True:
            pass
    elif what == "native":
        sum(itertools.repeat(0))
    elif what == "sleep":
        time.sleep(600)


def _die(what: str) -> None:
    if what == "abort":
        os.abort()
    elif what == "segfault":
        ctypes.string_at(0)
    elif what == "exit":
        os.write(2, b"no more torque\n")
        os._exit(3)
    elif what == "sys.exit":
        sys.exit(4)
    elif what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
