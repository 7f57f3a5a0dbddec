"""A process as the leader of its own group, which the signals of a terminal do not reach."""

from __future__ import annotations

import subprocess
import sys
from typing import Any


def popen(command: list[str], **arguments: Any) -> subprocess.Popen[Any]:
    """Starts a process that leads its own group; see `subprocess.Popen` for the arguments.

    A group and no session: Linux schedules the processes of a session as one (autogroup), so a
    process that yields its processor to one in another session waits. Python 3.10 starts a process
    in a group only with a session.

    Raises:
        OSError: If the system starts no further process.
    """
    if sys.version_info >= (3, 11):
        return subprocess.Popen(command, process_group=0, **arguments)  # noqa: S603 - no shell
    return subprocess.Popen(command, start_new_session=True, **arguments)  # noqa: S603 - no shell
