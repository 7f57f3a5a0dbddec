"""What every worker process does first, whatever it is to hold."""

from __future__ import annotations

import faulthandler
import logging
import os
import pickle
import socket
import sys
from collections.abc import Sequence
from typing import Any

from rlmesh.processes.control import read_message
from rlmesh.processes.parent_death import end_with_server, leave_signals_to_server
from rlmesh.processes.stack_dump import begin_recording

__all__ = ["read_spec", "start_worker"]


def start_worker(server: int, stack_dump: int, descriptors: Sequence[int]) -> None:
    """Binds this process to its server, and keeps what it inherited from its own children.

    Args:
        server: The server's process id.
        stack_dump: The descriptor of the stack dump; -1 where there is none.
        descriptors: The others that it inherited; -1 where there is none.
    """
    end_with_server(server)
    leave_signals_to_server()
    for descriptor in (stack_dump, *descriptors):
        if descriptor >= 0:
            os.set_inheritable(descriptor, False)
    # A fatal signal writes the stack of the thread that it hits to stderr, which the server keeps.
    faulthandler.enable(all_threads=False)
    begin_recording(stack_dump)


def read_spec(control: socket.socket) -> Any:
    """The spec of what this worker is to make; None if the server has gone.

    The command line and the level of the log are the server's from then on.

    Args:
        control: The control channel.
    """
    message = read_message(control)
    if message is None:
        return None
    spec: Any = pickle.loads(message[1])  # noqa: S301 - from this process's own parent, by a pair of sockets
    sys.argv = spec.argv
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("rlmesh").setLevel(spec.level)
    return spec
