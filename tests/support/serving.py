"""Servers for tests, in this process and in another one; each ends with its `with` block."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rlmesh

TESTS = Path(__file__).resolve().parents[1]
# A process that imports Gymnasium and gRPC on a busy machine takes some seconds to begin.
START_SECONDS = 60.0


@contextlib.contextmanager
def serving(env: Any, address: str | None = None, **settings: Any) -> Generator[rlmesh.EnvServer]:
    """Serves an environment from a thread of this process."""
    server = rlmesh.EnvServer(env, address, **settings)
    try:
        server.start()
        yield server
    finally:
        server.shutdown()


@contextlib.contextmanager
def remote(env: Any, **settings: Any) -> Generator[rlmesh.RemoteEnv[Any, Any]]:
    """A client of an environment that is served from this process."""
    with (
        serving(env) as server,
        contextlib.closing(rlmesh.RemoteEnv(server.address, **settings)) as client,
    ):
        yield client


@contextlib.contextmanager
def remote_vector(env: Any, **settings: Any) -> Generator[rlmesh.RemoteVectorEnv[Any, Any]]:
    """A client of a vector environment that is served from this process."""
    with (
        serving(env) as server,
        contextlib.closing(rlmesh.RemoteVectorEnv(server.address, **settings)) as client,
    ):
        yield client


@dataclass(frozen=True)
class ServedProcess:
    """A server in another process.

    Attributes:
        address: Where it serves.
        process: The process.
    """

    address: str
    process: subprocess.Popen[str]

    @property
    def pid(self) -> int:
        """The process's id."""
        return self.process.pid

    def send(self, number: signal.Signals) -> None:
        """Sends a signal."""
        self.process.send_signal(number)

    def wait(self, timeout: float = 20.0) -> int:
        """Waits for the process's end and gives its exit code."""
        return self.process.wait(timeout)


def start_python(
    arguments: list[str],
    *,
    prefix: Sequence[str] = (),
    stdin: int = subprocess.DEVNULL,
    stdout: int | None = None,
    stderr: int | None = None,
) -> subprocess.Popen[str]:
    """Starts this interpreter with the tests' support modules on its path.

    Args:
        arguments: What follows the interpreter.
        prefix: What stands before it.
        stdin: Where standard input comes from.
        stdout: Where standard output goes; None: where this process's goes.
        stderr: Where standard error goes; None: where this process's goes.
    """
    paths = [str(TESTS), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return subprocess.Popen(
        [*prefix, sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        text=True,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
    )


@contextlib.contextmanager
def served_process(what: str, *options: str) -> Generator[ServedProcess]:
    """Serves an environment from a process of its own, which is ended with the block.

    Args:
        what: The environment's name, as `support.sample_envs.make` knows it.
        *options: Further options of `support.serve_module`.
    """
    arguments = ["-W", "error", "-m", "support.serve_module", what, *options]
    with start_python(arguments, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            # The line comes once the server is bound; at the process's end the pipe ends too.
            address = process.stdout.readline().strip()
            assert address, f"the server process ended at once with code {process.wait()}"
            yield ServedProcess(address, process)
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
