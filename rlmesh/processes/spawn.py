"""Starts the process of a worker: a new interpreter, because a fork would inherit locks."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable

from rlmesh.processes import own_group

# The worker imports from where this process does, whatever its own path would be.
# As in `python -m rlmesh`, the garbage collector never walks through what is imported.
_PROGRAM = (
    "import gc, sys; gc.disable(); sys.path[:] = sys.argv[3:]; "
    "from importlib import import_module; main = import_module(sys.argv[1]).main; "
    "gc.freeze(); gc.enable(); main(*map(int, sys.argv[2].split()))"
)
# The working directory must not stand on the path while the program above is imported. Python 3.10
# has no option for that, and imports nothing for it but what is built in.
_SAFE_PATH = ("-P",) if sys.version_info >= (3, 11) else ()


def launch(
    module: str, calls: int, control: int, stack_dump: int, more: Iterable[int] = ()
) -> subprocess.Popen[bytes]:
    """Starts a worker.

    Args:
        module: The name of the module whose `main` it runs, with this process's id and the
            descriptors.
        calls: The descriptor of the socket that the calls cross.
        control: The descriptor of the control channel.
        stack_dump: The descriptor of the stack dump; -1 where there is none.
        more: Further descriptors; -1 for one that there is not.

    Raises:
        OSError: If the system starts no further process.
    """
    descriptors = (calls, control, stack_dump, *more)
    given = " ".join(map(str, (os.getpid(), *descriptors)))
    # Ctrl-C in a terminal is for the server alone, and what the environment has started can be
    # ended with it.
    return own_group.popen(
        [
            sys.executable,
            *_options(),
            *_SAFE_PATH,
            "-c",
            _PROGRAM,
            module,
            given,
            *map(os.fspath, sys.path),
        ],
        pass_fds=[number for number in descriptors if number >= 0],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def launch_beside(module: str, descriptor: int) -> subprocess.Popen[bytes]:
    """Starts a process that is no worker: it is told what to do on its standard input.

    Args:
        module: The name of the module whose `main` it runs, with this process's id and the
            descriptor.
        descriptor: A descriptor that it inherits.

    Raises:
        OSError: If the system starts no further process.
    """
    return own_group.popen(
        [
            sys.executable,
            *_options(),
            *_SAFE_PATH,
            "-c",
            _PROGRAM,
            module,
            f"{os.getpid()} {descriptor}",
            *map(os.fspath, sys.path),
        ],
        pass_fds=[descriptor],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
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
