"""The drivers of one workload: started, given their turns, and ended together."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from typing_extensions import Self

from benchmarks.contenders.catalogue import Contender
from benchmarks.peer import pipes
from benchmarks.turns import Turn
from benchmarks.workloads import Workload

_START_SECONDS, _TURN_SECONDS, _END_SECONDS = 120.0, 60.0, 15.0


class DriverError(Exception):
    """A driver that did not do what it was asked; the message says what came instead."""


class Driver:
    """One driver's process.

    It runs in a new session of the system: Ctrl-C reaches the benchmark alone, which then ends it.

    Args:
        contender: What it drives.
        workload: What is stepped.
        variables: Environment variables for it and its peer, beside those of this process.
    """

    def __init__(
        self, contender: Contender, workload: Workload, variables: Mapping[str, str] | None = None
    ) -> None:
        self.contender = contender
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.driver", contender.key, workload.key],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(variables or {})},
            start_new_session=True,
        )
        self._stdin, self._stdout = pipes(self._process)

    def why_unavailable(self) -> str | None:
        """Waits until it is ready; the reason if it cannot be had here.

        Raises:
            DriverError: If it fails.
        """
        reason: str | None = self._read(_START_SECONDS).get("unavailable")
        return reason

    def begin(self, seconds: float, *start: float) -> None:
        """Has it take a turn, without waiting for the end.

        Args:
            seconds: How long the turn is.
            start: When it begins, by `perf_counter`; else at once.

        Raises:
            DriverError: If it has ended.
        """
        try:
            print(seconds, *start, file=self._stdin, flush=True)
        except BrokenPipeError as error:
            raise DriverError("it has ended") from error

    def finish(self, seconds: float) -> Turn:
        """Waits for the end of that turn.

        Raises:
            DriverError: If it fails meanwhile, or takes a minute longer than it was asked.
        """
        return Turn(**self._read(seconds + _TURN_SECONDS))

    def leave(self) -> None:
        """Has it end, without waiting."""
        # A driver that has ended already no longer reads.
        with contextlib.suppress(BrokenPipeError):
            self._stdin.close()

    def end(self) -> None:
        """Waits for its end, and makes it end where that takes too long."""
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            # It has not been waited for, so that the group is still its own.
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._stdout.close()

    def _read(self, seconds: float) -> dict[str, Any]:
        """One line; each answers one request, so that nothing waits in the pipe's buffer."""
        if not select.select([self._stdout], [], [], seconds)[0]:
            raise DriverError(f"no answer within {seconds:.0f} seconds")
        line = self._stdout.readline()
        if not line:
            raise DriverError(f"it ended with exit code {self._process.wait(_END_SECONDS)}")
        answer: dict[str, Any] = json.loads(line)
        return answer


class DriverProcesses:
    """The drivers of several contenders; a context, at whose end all of them have ended.

    Attributes:
        drivers: Those that are at work.
        absent: Why a contender is not among them, by its key.
        failures: The keys of those that are absent because something went wrong.
    """

    def __init__(self) -> None:
        self.drivers: list[Driver] = []
        self.absent: dict[str, str] = {}
        self.failures: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end(self.drivers)

    def start(
        self,
        contenders: Iterable[Contender],
        workload: Workload,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """Starts the drivers all at once, and waits until each is ready or absent."""
        started: list[Driver] = []
        for contender in contenders:
            started.append(Driver(contender, workload, variables))
            self.drivers.append(started[-1])
        for driver in started:
            try:
                reason = driver.why_unavailable()
            except DriverError as error:
                self.drop(driver, error)
            else:
                if reason is not None:
                    self.absent[driver.contender.key] = reason
                    self._remove(driver)

    def drop(self, driver: Driver, error: DriverError) -> None:
        """Goes on without a driver that failed."""
        self.absent[driver.contender.key] = f"failed: {error}"
        self.failures.add(driver.contender.key)
        self._remove(driver)

    def _remove(self, driver: Driver) -> None:
        self.drivers.remove(driver)
        self._end([driver])

    @staticmethod
    def _end(drivers: list[Driver]) -> None:
        for driver in drivers:
            driver.leave()
        for driver in drivers:
            driver.end()
