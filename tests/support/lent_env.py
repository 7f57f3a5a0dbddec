"""An environment that does to its worker, and to the lent pipe, what its action says."""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import signal
import socket
import threading
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from rlmesh.processes.control import ControlMessage, write_message
from rlmesh.processes.parent_death import StatusThread
from rlmesh.server.envs.process.borrower import Borrower
from rlmesh.server.envs.process.call_page import PAGE_BYTES

DEEDS = (
    "count",
    "stop",
    "scribble",
    "short",
    "descriptors",
    "hide",
    "raise",
    "wait",
    "limit",
    "control",
    "status",
)
"""What a step does, by its action.

`stop` stops the process, `scribble` fills the call page, `short` and `descriptors` send the server
what no worker sends, `hide` says on the page that no call is in progress and hangs, `wait` waits
for a file, `control` sends a control message that is none, `status` writes a status that is none,
`limit` lets the process open no more descriptors, and raises.
"""


def deed(name: str) -> np.int64:
    """The action that does it."""
    action: np.int64 = np.int64(DEEDS.index(name))
    return action


class LentEnv(gymnasium.Env[np.int64, np.int64]):
    """Counts its steps, and notes each call in a diary.

    Args:
        folder: Where the diary is, and the file `go` that a step may wait for.
    """

    metadata = {"render_modes": ["ansi"]}  # noqa: RUF012 - as Gymnasium has it

    def __init__(self, folder: str) -> None:
        self.observation_space = gymnasium.spaces.Discrete(1_000_000)
        self.action_space = gymnasium.spaces.Discrete(len(DEEDS))
        self.render_mode = "ansi"
        self.level = 1
        self._folder = Path(folder)
        self._count = 0
        self._note(f"made {os.getpid()}")

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.int64, dict[str, Any]]:
        super().reset(seed=seed)
        self._note("reset")
        self._count = 0
        options = options or {}
        if "die" in options:
            os.kill(os.getpid(), signal.SIGKILL)
        if "raise" in options:
            raise ValueError("not with these options")
        return np.int64(0), {"pid": os.getpid(), "length": len(options.get("text", ""))}

    def step(self, action: np.int64) -> tuple[np.int64, float, bool, bool, dict[str, Any]]:
        self._count += 1
        self._note(f"step {self._count}")
        self._act(DEEDS[action])
        return np.int64(self._count), 1.0, False, False, {}

    def render(self) -> str:
        self._note("render")
        return f"{self._count} steps".ljust(5_000_000)

    def _act(self, name: str) -> None:
        if name == "wait":
            while not (self._folder / "go").exists():
                threading.Event().wait(0.01)
        elif name == "raise":
            raise ValueError("no luck")
        elif name != "count":
            _HARM[name]()

    def _note(self, words: str) -> None:
        # Not after `limit`: the file needs a descriptor.
        with contextlib.suppress(OSError), (self._folder / "diary").open("a") as file:
            file.write(f"{words}\n")


def _stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def _limit() -> None:
    last = max(map(int, os.listdir("/proc/self/fd")))
    while os.dup(0) < last:
        pass
    resource.setrlimit(resource.RLIMIT_NOFILE, (last, last))
    raise ValueError("no luck")


def _scribble() -> None:
    _borrower()._page[:PAGE_BYTES] = b"\xff" * PAGE_BYTES


def _hide() -> None:
    _borrower()._page[:PAGE_BYTES] = bytes(PAGE_BYTES)
    threading.Event().wait(60)


def _send_short() -> None:
    _borrower()._channel.send(b"???")
    threading.Event().wait(60)


def _send_descriptors() -> None:
    socket.send_fds(_borrower()._channel, [bytes(25)], [0, 1, 2])
    threading.Event().wait(60)


def _send_control() -> None:
    _control().send(b"?" * 100)
    threading.Event().wait(60)


def _send_status() -> None:
    # The thread that answers the server cannot, as it is not the one that reads any more.
    control = _control()
    for number in range(1, 1000):
        control.send(write_message(ControlMessage.STATUS, number.to_bytes(8, "big") + b"\xff"))


def _control() -> socket.socket:
    [thread] = [each for each in gc.get_objects() if isinstance(each, StatusThread)]
    return thread._sock


_HARM = {
    "control": _send_control,
    "status": _send_status,
    "stop": _stop,
    "limit": _limit,
    "scribble": _scribble,
    "hide": _hide,
    "short": _send_short,
    "descriptors": _send_descriptors,
}


def _borrower() -> Borrower:
    [found] = [each for each in gc.get_objects() if isinstance(each, Borrower)]
    return found
