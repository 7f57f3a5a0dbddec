"""Starts the process of a worker: a new interpreter, because a fork would inherit locks."""

from __future__ import annotations

import os
import subprocess
import sys

# The worker imports from where this process does, whatever its own path would be.
_PROGRAM = (
    "import sys; sys.path[:] = sys.argv[6:]; from importlib import import_module; "
    "import_module(sys.argv[1]).main(*map(int, sys.argv[2:6]))"
)


def launch(module: str, calls: int, control: int, stack_dump: int) -> subprocess.Popen[bytes]:
    """Starts a worker.

    Args:
        module: The name of the module whose `main` it runs, with this process's id and the three
            descriptors.
        calls: The descriptor of the socket that the calls cross.
        control: The descriptor of the control channel.
        stack_dump: The descriptor of the stack dump; -1 where there is none.

    Raises:
        OSError: If the system starts no further process.
    """
    given = [str(number) for number in (os.getpid(), calls, control, stack_dump)]
    return subprocess.Popen(  # noqa: S603 - this interpreter, and no shell
        [
            sys.executable,
            *_options(),
            "-P",
            "-c",
            _PROGRAM,
            module,
            *given,
            *map(os.fspath, sys.path),
        ],
        pass_fds=[number for number in (calls, control, stack_dump) if number >= 0],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        # Ctrl-C in a terminal is for the server alone, and what the environment has started can be
        # ended with it.
        start_new_session=True,
    )


def _options() -> list[str]:
    """The options of this interpreter that a worker gets too."""
    flags = sys.flags
    options = {
        "-O": flags.optimize == 1,
        "-OO": flags.optimize > 1,
        "-B": flags.dont_write_bytecode,
        "-E": flags.ignore_environment,
        "-s": flags.no_user_site,
        "-u": True,  # output must not wait in a buffer: the worker may be killed at any time
    }
    chosen = [option for option, wanted in options.items() if wanted]
    return [*chosen, *(f"-W{warning}" for warning in sys.warnoptions)]
