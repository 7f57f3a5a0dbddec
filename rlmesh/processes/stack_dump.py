"""The stack dump: a memory file that `faulthandler` writes the stack of a worker's main thread to.

`faulthandler` needs no interpreter lock, so it works while native code holds that lock. The signal
may end a wait in that code early, so only a worker that is about to be killed gets it.
"""

from __future__ import annotations

import contextlib
import faulthandler
import fcntl
import logging
import os
import signal
import stat
import sys
import time
from typing import BinaryIO

from rlmesh.envs.raised import TRACEBACK_LIMIT, is_ours

_log = logging.getLogger("rlmesh.server")

_SUPPORTED = sys.platform == "linux"
# How long the handler may take, and how long it is given once it has begun to write.
_WRITING_SECONDS = 0.2
_PAUSE_SECONDS = 0.01


def make_stack_dump() -> int:
    """A descriptor for the worker to write to; -1 where there is none."""
    if not _SUPPORTED:
        return -1
    try:
        descriptor = os.memfd_create("rlmesh-stack", os.MFD_CLOEXEC)
    except OSError as error:
        _log.warning("a worker that hangs in native code cannot write its stack: %s", error)
        return -1
    fcntl.fcntl(descriptor, fcntl.F_SETFL, os.O_APPEND)
    return descriptor


def begin_recording(descriptor: int) -> None:
    """Has the signal write the stack of this process's main thread there."""
    if descriptor >= 0:
        faulthandler.register(_signal(), descriptor, all_threads=False)


def record(pid: int, descriptor: int) -> str:
    """Has a worker write its stack, and returns it, the innermost frame last; empty if it does not.

    Args:
        pid: The worker.
        descriptor: As the worker knows it.
    """
    if descriptor < 0:
        return ""
    with contextlib.suppress(OSError), _opened(f"/proc/{pid}/fd/{descriptor}") as box:
        if not stat.S_ISREG(os.fstat(box.fileno()).st_mode):
            return ""
        os.kill(pid, _signal())
        deadline = time.monotonic() + _WRITING_SECONDS
        written = -1
        while time.monotonic() < deadline:
            size = os.fstat(box.fileno()).st_size
            if size and size == written:
                break
            written = size
            time.sleep(_PAUSE_SECONDS)
        return _turned(box.read(TRACEBACK_LIMIT).decode(errors="backslashreplace"))
    return ""


def _opened(path: str) -> BinaryIO:
    """Opens a file of the worker's without waiting: it may have put a pipe in its place."""
    return open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")


def _turned(text: str) -> str:
    """The stack with the innermost frame last, without the server's own frames before it."""
    frames = [line for line in text.splitlines() if line.startswith("  File ")][::-1]
    ours = [index for index, line in enumerate(frames) if is_ours(line.removeprefix('  File "'))]
    beyond = frames[ours[-1] + 1 :] if ours else frames
    return "".join(f"{line}\n" for line in beyond or frames)


def _signal() -> int:
    # A signal that other code is unlikely to use.
    return int(signal.SIGRTMAX)
