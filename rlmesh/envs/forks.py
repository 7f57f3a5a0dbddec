"""Ends a process that an environment forks, where the call of the environment ends.

A call that forks returns twice: in the server, and in the child with a copy of the server's thread.
The child must not go on as the server: it would answer the client, write to shared memory and
close what the server still uses. So after every call of the environment the server compares
`generation` with its value before the call, and ends the process if they differ.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from types import TracebackType
from typing import NoReturn

generation: int = 0
"""How many forks lie between the first process of the program and this one."""


class EndsInChild:
    """Calls the environment in its block; a process that the block forks ends with the block.

    Example:
        >>> with EndsInChild():
        ...     observation = 1  # here env.reset() stands

    Not for the call of `step`, which compares `generation` itself to save the frames.
    """

    __slots__ = ("_generation",)

    def __enter__(self) -> None:
        """Notes which process this is."""
        self._generation = generation

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends another process than the one that began the block."""
        if generation != self._generation:
            end_process(error)


def end_process(error: BaseException | None) -> NoReturn:
    """Ends a forked process as the interpreter would, if the call were a program's last.

    The frames below the call are the server's and its user's, so they are not unwound. Handlers of
    `atexit` run, and both standard streams are flushed.

    Args:
        error: What the call raised in this process; None: it returned.
    """
    code = 1
    try:
        code = _report(error)
        atexit._run_exitfuncs()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] # as multiprocessing does at the end of a forked process
        for stream in (sys.stdout, sys.stderr):
            # A standard stream is None or closed where the program has closed it.
            with contextlib.suppress(AttributeError, ValueError, OSError):
                stream.flush()
    finally:
        # Not `sys.exit`: finalizing the interpreter would wait for threads of gRPC's that a fork
        # does not have.
        os._exit(code)


def _report(error: BaseException | None) -> int:
    """Prints what ends the process, as the interpreter does; returns the exit code."""
    if error is None:
        return 0
    if not isinstance(error, SystemExit):
        sys.excepthook(type(error), error, error.__traceback__)
        return 1
    if error.code is None:
        return 0
    if isinstance(error.code, int):
        return error.code & 0xFF
    sys.stderr.write(f"{error.code}\n")
    return 1


def _count() -> None:
    global generation  # noqa: PLW0603 - a module's attribute is the cheapest that a step can read
    generation += 1


os.register_at_fork(after_in_child=_count)
