"""Starts the drivers of contenders, and lets them take turns."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.models.catalogue import CONTENDERS
from benchmarks.peer import pipes
from rlmesh.processes import own_group

_ROOT = Path(__file__).resolve().parents[2]
_STARTING_SECONDS = 90.0
_SPARE_SECONDS = 20.0
_ENDING_SECONDS = 5.0

Turn = dict[str, float]


class DriverFailedError(Exception):
    """A driver that cannot take part, and why."""


class Driver:
    """One contender's process.

    Args:
        key: The contender.
        model: The model.
        count: How many clients.
        interpreter: The Python that runs it.
    """

    def __init__(self, key: str, model: str, count: int, interpreter: str) -> None:
        self.key: str = key
        command = [interpreter, "-m", "benchmarks.models.driver", key, model, str(count)]
        paths = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH", "")]))
        # No pipe: nobody reads it while the driver writes, and a process that a library has started
        # keeps it open after the driver's end.
        self._stderr = tempfile.TemporaryFile("w+") if CONTENDERS[key].package else None  # noqa: SIM115 - `end` closes it
        # What a library has started is ended with it.
        self._process = own_group.popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            env={**os.environ, "PYTHONPATH": paths},
        )
        self._stdin, self._stdout = pipes(self._process)

    def await_ready(self) -> None:
        """Waits until it can take turns.

        Raises:
            DriverFailedError: If it cannot.
        """
        self._read(_STARTING_SECONDS)

    def turn(self, seconds: float) -> Turn:
        """Has it take a turn.

        Raises:
            DriverFailedError: If it fails.
        """
        self._stdin.write(f"{seconds}\n")
        self._stdin.flush()
        turn: Turn = self._read(seconds + _SPARE_SECONDS)
        return turn

    def end(self) -> None:
        """Ends it, and waits for its end."""
        with contextlib.suppress(OSError):
            self._stdin.close()
        try:
            self._process.wait(_ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._stdout.close()
        if self._stderr is not None:
            self._stderr.close()

    def _read(self, seconds: float) -> Any:
        if not select.select([self._stdout], [], [], seconds)[0]:
            self._process.kill()
            raise DriverFailedError(f"no answer within {seconds:g} s")
        line = self._stdout.readline()
        if not line:
            code = self._process.wait()
            last = ""
            if self._stderr is not None:
                self._stderr.seek(0)
                last = (self._stderr.read().strip().splitlines() or [""])[-1]
            raise DriverFailedError(f"it ended with exit code {code}: {last:.200}")
        answer = json.loads(line)
        if "unavailable" in answer:
            raise DriverFailedError(f"{answer['unavailable']:.300}")
        return answer


def take_turns(
    keys: Sequence[str],
    model: str,
    count: int,
    rounds: int,
    seconds: float,
    interpreters: Mapping[str, str],
) -> tuple[dict[str, list[Turn]], dict[str, str]]:
    """Has contenders take turns, in an order that is reversed each round, after one to warm up.

    Returns:
        The turns of each, and why one is missing.
    """
    taken: dict[str, list[Turn]] = {}
    absent: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        drivers: list[Driver] = []
        for key in keys:
            driver = Driver(key, model, count, interpreters.get(key, sys.executable))
            stack.callback(driver.end)
            drivers.append(driver)
        for driver in drivers:
            try:
                driver.await_ready()
            except DriverFailedError as error:
                absent[driver.key] = str(error)
        for number in range(1 + rounds):
            for driver in drivers[:: -1 if number % 2 else 1]:
                if driver.key in absent:
                    continue
                try:
                    turn = driver.turn(seconds)
                except DriverFailedError as error:
                    absent[driver.key] = str(error)
                    taken.pop(driver.key, None)
                    continue
                if number:
                    taken.setdefault(driver.key, []).append(turn)
    return taken, absent
