"""The other process of a contender: `python -m benchmarks.peer MODULE:FUNCTION ARGUMENT...`.

It ends when its standard input does, thus with the process that started it, however that ends.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from typing import IO

Announce = Callable[[str], None]


@contextlib.contextmanager
def peer(
    function: Callable[..., None], *arguments: str, pass_fds: Sequence[int] = ()
) -> Generator[str]:
    """Runs a function in another process for as long as the context lasts.

    Args:
        function: A module's own function. Its first argument is a function to which it announces,
            once and in one line, what the context then gives: an address, as a rule.
        arguments: The further ones.
        pass_fds: Descriptors that the process is to inherit, under their numbers.

    Raises:
        RuntimeError: If the process ends before it announces anything.
    """
    where = f"{function.__module__}:{function.__qualname__}"
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.peer", where, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=pass_fds,
    ) as process:
        try:
            stdin, stdout = pipes(process)
            line = stdout.readline()
            if not line:
                raise RuntimeError(f"the peer {where} ended with exit code {process.wait()}")
            yield line.rstrip("\n")
            stdin.close()
            process.wait(10)
        finally:
            process.kill()


def pipes(process: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    """The standard input and output of a process that was started with pipes for both."""
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("a process without the pipes that were asked for")
    return process.stdin, process.stdout


def take_stdout() -> IO[str]:
    """What was the standard output; whatever else is printed there goes to the standard error."""
    taken = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return taken


def _end_with_stdin() -> None:
    # Not through sys.stdin, whose lock would be held when the interpreter ends before.
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Runs the function that the command line names."""
    where, *arguments = sys.argv[1:]
    out = take_stdout()
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    module, _, function = where.partition(":")

    def announce(line: str) -> None:
        print(line, file=out, flush=True)

    getattr(importlib.import_module(module), function)(announce, *arguments)


if __name__ == "__main__":
    main()
