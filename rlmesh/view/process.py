"""Shows one server, in a process that this server has started: what `view=` does.

The first line of standard input says what to show, as JSON. The process ends with the server, at
the end of standard input.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
import threading
from typing import Any

from rlmesh.security import Credentials, Token
from rlmesh.view.serving import Shown, give_way, make_server

# How often the process looks whether the server is still there.
_LOOK_SECONDS = 2.0


def main(server_pid: int, descriptor: int) -> None:
    """Shows the page until standard input ends.

    Args:
        server_pid: The server's process id.
        descriptor: The socket at which browsers are answered.
    """
    give_way()
    # The server ends the view: a Ctrl-C in the terminal is for the server.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    order: dict[str, Any] = json.loads(sys.stdin.buffer.readline())
    token = None if order["token"] is None else Token(order["token"], "the server's token")
    server = make_server(
        [Shown(address=order["address"], label=order["label"])],
        credentials=Credentials(token=token),
        token=token,
    )
    listener = socket.socket(fileno=descriptor)

    def end() -> None:
        # Processes that the server has forked may hold the other end of standard input.
        while os.getppid() == server_pid:
            if select.select([0], [], [], _LOOK_SECONDS)[0] and not os.read(0, 1 << 12):
                break
        server.should_exit = True

    threading.Thread(target=end, name="rlmesh-view-end", daemon=True).start()
    with listener, contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
