"""Models that a worker process imports: one that fails as it is asked to, and one that is gated."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np

import rlmesh
from support.models import Array, Model, OfMany, act


def fail(how: str) -> None:
    """Fails, or does what a model should not do."""
    match how:
        case "exit":
            print("out of cards", file=sys.stderr, flush=True)  # noqa: T201 - the server shows it
            os._exit(3)
        case "segfault":
            ctypes.string_at(0)
        case "sys.exit":
            sys.exit(4)
        case "raise":
            raise ValueError("no such word")
        case "fork":
            if (pid := os.fork()) == 0:
                return
            os.waitpid(pid, 0)
        case "hang":
            hang()
        case "hang in C":
            # A call of a library that is given no interpreter lock back.
            ctypes.PyDLL(None).sleep(3600)
        case _:
            return


def hang() -> None:
    """Waits for what never comes."""
    threading.Event().wait()


class Frail(Model):
    """Adds up the observations of its episode; fails where an episode's options say how."""

    def reset(self, context: rlmesh.ModelContext) -> None:
        context.state = np.zeros(3, np.float32)

    def predict(self, observation: Any, context: rlmesh.ModelContext) -> Array:
        fail((context.options or {}).get("do", ""))
        context.state = 0.5 * context.state + observation["state"]
        return (act(context.state) / 2).astype(np.float32)


class Stateless(Model):
    """Draws its action, and fails where the observation says so."""

    keeps_state = False

    def predict(self, observation: Any, context: rlmesh.ModelContext) -> Array:
        if observation["state"][0] == 1:
            fail("exit")
        return context.rng.uniform(-1, 1, 2).astype(np.float32)


class Gated(OfMany):
    """Waits in its warm-up and in each call until there is a file.

    Args:
        gate: The file.
        factor: What the actions are multiplied with.
    """

    def __init__(self, gate: Path, factor: float = 1.0) -> None:
        super().__init__()
        self._gate = gate
        self._factor = factor

    def warmup(self) -> None:
        self._wait()

    def predict_batch(self, observations: Any) -> Array:
        self._wait()
        return (super().predict_batch(observations) * self._factor).astype(np.float32)

    def close(self) -> None:
        self._gate.with_suffix(".closed").touch()

    def _wait(self) -> None:
        while not self._gate.exists():
            threading.Event().wait(0.005)


class Longer(OfMany):
    """Has another contract."""

    metadata = {"other": True}  # noqa: RUF012 - as a model has it


class Unmakable(Model):
    """Cannot be made, as it is told."""

    def __init__(self, how: str) -> None:
        super().__init__()
        fail(how)


class Unreadable:
    """A callable that cannot be read in another process."""

    def __call__(self) -> Any:
        raise AssertionError

    def __reduce__(self) -> Any:
        return fail, ("raise",)


def without_spaces() -> Any:
    """Makes what is no model."""

    class Bare:
        def predict(self, observation: Any) -> Any:
            return observation

    return Bare()


def several() -> Any:
    """Makes several models at once."""
    return {"one": Frail(), "other": Frail()}


def end(pid: int) -> None:
    """Waits until a process is dead."""
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        try:
            import select

            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            assert poll.poll(30_000), f"the process {pid} lives on"
        finally:
            os.close(descriptor)
