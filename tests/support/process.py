"""Child processes of tests: started, watched, and always ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path


def child_processes(parent: int | None = None) -> dict[int, str]:
    """The children of a process, this one without `parent`; empty where there is no /proc.

    Returns:
        The command line of each child under its process id.
    """
    found: dict[int, str] = {}
    tasks = f"/proc/{'self' if parent is None else parent}/task"
    # Before and after each test: with pathlib it takes six times as long.
    for thread in os.listdir(tasks) if sys.platform == "linux" else ():
        # A thread may have ended meanwhile: before the file is opened, or before it is read.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            children = os.open(f"{tasks}/{thread}/children", os.O_RDONLY)
            with open(children, "rb", buffering=0) as file:
                for pid in file.read().decode().split():
                    found[int(pid)] = _command_line(pid)
    # multiprocessing starts its helper once, for the rest of the process's life.
    return {
        pid: line for pid, line in found.items() if "multiprocessing.resource_tracker" not in line
    }


def descendants(pid: int) -> list[int]:
    """The children of a process, their children, and so on."""
    found = list(child_processes(pid))
    return found + [each for child in found for each in descendants(child)]


def _command_line(pid: str) -> str:
    try:
        return (
            Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip() or f"zombie {pid}"
        )
    except (FileNotFoundError, ProcessLookupError):
        return f"{pid}, ended meanwhile"


def run_python(
    *arguments: str,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = 60,
) -> subprocess.CompletedProcess[str]:
    """Runs this interpreter to its end, whatever its exit code; warnings are errors in it.

    Args:
        *arguments: What follows `python`, `-c` and a program for instance.
        cwd: The working directory.
        env: Variables set on top of this process's own.
        timeout: Seconds until the process is killed and `subprocess.TimeoutExpired` raised.
    """
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


class Background:
    """A process that runs beside the test, with its output in a file."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    def output(self) -> str:
        """What it has written so far, both streams."""
        return self._log.read_text(errors="replace")

    def stop(self, timeout: float = 10) -> int:
        """Sends SIGTERM to its process group, waits, and returns the exit code."""
        with contextlib.suppress(ProcessLookupError):  # it ended by itself
            os.killpg(self.process.pid, signal.SIGTERM)
        return self.process.wait(timeout)


@contextlib.contextmanager
def background(
    command: Sequence[str],
    log: Path,
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Generator[Background]:
    """Runs a command beside the test; whatever still runs of it at the end is killed.

    Args:
        command: The program and its arguments.
        log: The file that takes its output.
        cwd: The working directory.
        env: Variables set on top of this process's own.
    """
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Background(process, log)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
