"""Commands of the command line as processes: started, asked, signalled, and always ended."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rlmesh
from rlmesh.processes import own_group
from support.serving import START_SECONDS, TESTS

# What follows the interpreter.
Program = tuple[str, ...]
RLMESH: Program = ("-m", "rlmesh")
SERVE_ENV: Program = ("-m", "rlmesh._cli.serve_env")
CONSOLE_SCRIPT: Program = (str(Path(sys.executable).with_name("rlmesh")),)


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        code: Its exit code, negative for a signal that killed it.
        out: What it wrote on standard output.
        err: What it wrote on standard error.
    """

    code: int
    out: str
    err: str


class Command:
    """A command that runs beside the test."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def line(self) -> str:
        """The next line of its standard output; empty when it has ended."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to it alone."""
        self.process.send_signal(number)

    def send_to_group(self, number: signal.Signals) -> None:
        """Sends a signal to it and to the processes that it has made, as a terminal does."""
        os.killpg(self.process.pid, number)

    def send_until_end(self, number: signal.Signals) -> int:
        """Sends a signal again and again, twice a second, and gives the exit code."""
        for _ in range(40):
            self.send(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self.process.wait(0.5)
        raise AssertionError(f"the process {self.pid} does not end by {number.name}")

    def end(self, timeout: float = START_SECONDS) -> Ended:
        """Waits for its end."""
        out, err = self.process.communicate(timeout=timeout)
        return Ended(self.process.returncode, out, err)


def start(
    arguments: Sequence[str], *, output: int = subprocess.PIPE, pass_fds: Sequence[int] = ()
) -> subprocess.Popen[str]:
    """Starts this interpreter with the tests' support modules on its path.

    Args:
        arguments: What follows the interpreter.
        output: Where standard output and standard error go.
        pass_fds: The descriptors that it gets.
    """
    paths = [str(TESTS), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    # A group of its own, so that its end takes the workers of its environment along.
    return own_group.popen(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        pass_fds=pass_fds,
    )


@contextlib.contextmanager
def command(
    *arguments: str,
    program: Program = RLMESH,
    output: int = subprocess.PIPE,
    pass_fds: Sequence[int] = (),
) -> Generator[Command]:
    """Runs a program of this interpreter; whatever is left of it at the end is killed.

    Args:
        *arguments: What follows the program.
        program: What follows the interpreter.
        output: Where standard output and standard error go.
        pass_fds: The descriptors that it gets.
    """
    process = start([*program, *arguments], output=output, pass_fds=pass_fds)
    with process:
        try:
            yield Command(process)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def run(*arguments: str, program: Program = RLMESH, pass_fds: Sequence[int] = ()) -> Ended:
    """Runs a command to its end."""
    with command(*arguments, program=program, pass_fds=pass_fds) as started:
        return started.end()


def on_a_terminal(*arguments: str) -> str:
    """What a command that ends with 0 writes on a terminal."""
    ours, theirs = os.openpty()
    with open(ours, "rb", buffering=0) as screen:
        with open(theirs, "wb", buffering=0) as terminal:
            process = start([*RLMESH, *arguments], output=terminal.fileno())
        shown = b""
        with process:
            # A terminal whose other end is closed gives an error where a pipe ends.
            with contextlib.suppress(OSError):
                while part := screen.read(65536):
                    shown += part
            assert process.wait(START_SECONDS) == 0
    return shown.decode()


@contextlib.contextmanager
def served(
    *arguments: str, program: Program = SERVE_ENV, output: int = subprocess.PIPE
) -> Generator[tuple[Command, str]]:
    """Runs a serving command with `--ready-fd`; gives it and its address once it serves."""
    with pipe() as (reader, writer):
        fd = writer.fileno()
        with command(
            *arguments, f"--ready-fd={fd}", program=program, output=output, pass_fds=[fd]
        ) as started:
            writer.close()
            address = reader.read().decode().strip()
            assert address, f"no server: {started.end()}"
            yield started, address


@contextlib.contextmanager
def connected(*arguments: str) -> Generator[tuple[Command, rlmesh.RemoteEnv[Any, Any]]]:
    """A `serve_env` with these arguments, and its client."""
    with (
        served(*arguments) as (server, address),
        contextlib.closing(rlmesh.RemoteEnv[Any, Any](address)) as env,
    ):
        yield server, env


@contextlib.contextmanager
def pipe() -> Generator[tuple[io.FileIO, io.FileIO]]:
    """The two ends of a pipe, unbuffered; closed at the end unless they are already."""
    reader, writer = os.pipe()
    with io.FileIO(reader, "r") as read_end, io.FileIO(writer, "w") as write_end:
        yield read_end, write_end
