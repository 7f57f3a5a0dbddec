"""Sub-environments in worker processes, served by a program of their own: no fork beside gRPC.

`python -m support.async_vectors KIND MODE STEPS FILE` records what Gymnasium's AsyncVectorEnv tells
in its own process into the file, and then serves another one; without steps it only serves. It
prints its address and the ids of the workers, and ends by a signal.
"""

from __future__ import annotations

import contextlib
import pickle
import select
import subprocess
import sys
import time
from collections.abc import Generator
from dataclasses import dataclass
from os import close, pidfd_open
from pathlib import Path
from typing import Any

import rlmesh
from support.serving import START_SECONDS, start_python
from support.vector_envs import record

SUB_ENVS = 3
STEPS = 24


@dataclass(frozen=True)
class AsyncSubEnvs:
    """A served AsyncVectorEnv.

    Attributes:
        address: Where it is served.
        workers: Handles of the worker processes, which tell when they end.
        process: The serving process.
        recorded: What another one told in the serving process, as `support.vector_envs.told` has
            it.
    """

    address: str
    workers: tuple[int, ...]
    process: subprocess.Popen[str]
    recorded: list[tuple[str, Any]]

    def wait_for_workers(self, timeout: float = 20.0) -> bool:
        """Waits until no worker is left; whether none is."""
        left, deadline = set(self.workers), time.monotonic() + timeout
        while left and (remaining := deadline - time.monotonic()) > 0:
            # A handle of a process is readable when the process has ended.
            left -= set(select.select(left, (), (), remaining)[0])
        return not left


@contextlib.contextmanager
def served_async_sub_envs(
    kind: str, mode: str, folder: Path, *, steps: int = STEPS
) -> Generator[AsyncSubEnvs]:
    """Serves sub-environments of `SubEnv` in worker processes.

    Args:
        kind: A name in `support.vector_envs.KINDS`.
        mode: The name of a mode in Gymnasium's enum.
        folder: A folder of the test's own.
        steps: How many to record.
    """
    path = folder / "recorded"
    arguments = ["-m", "support.async_vectors", kind, mode, str(steps), str(path)]
    with (
        start_python(arguments, stdout=subprocess.PIPE) as process,
        contextlib.ExitStack() as stack,
    ):
        try:
            assert process.stdout is not None
            address, *workers = process.stdout.readline().split() or [""]
            assert address, f"the server ended at once with code {process.wait(START_SECONDS)}"
            handles = [pidfd_open(int(pid)) for pid in workers]
            for handle in handles:
                stack.callback(close, handle)
            # Written by the program below.
            recorded = pickle.loads(path.read_bytes()) if steps else []  # noqa: S301
            yield AsyncSubEnvs(address, tuple(handles), process, recorded)
        finally:
            process.kill()


def main() -> None:
    """Reads the command line, records and serves."""
    from gymnasium.vector import AutoresetMode

    from support.vector_envs import async_sub_envs

    kind, mode, steps, path = sys.argv[1:]
    if int(steps):
        recorded = record(async_sub_envs(kind, SUB_ENVS, AutoresetMode[mode]), int(steps))
        Path(path).write_bytes(pickle.dumps(recorded))
    envs: Any = async_sub_envs(kind, SUB_ENVS, AutoresetMode[mode])
    workers = [process.pid for process in envs.processes]
    server = rlmesh.EnvServer(envs, expose=("level", "scale", "fail"))
    print(server.address, *workers, flush=True)  # noqa: T201 - the line that the test waits for
    server.serve()


if __name__ == "__main__":
    main()
