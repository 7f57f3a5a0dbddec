"""Ends a TCP connection whose other machine has fallen silent, as one without power does."""

from __future__ import annotations

import contextlib
import socket

# How often an idle connection is asked in the time after which it ends.
_PROBES = 3


def end_when_silent(sock: socket.socket, seconds: float) -> None:
    """Has the system end a connection once nothing has come from the other machine for so long.

    The other system answers, not the program there, which may compute or be stopped for any time.
    But Linux ends a connection too where the program does not read for so long, and more was sent
    than its buffers take. Where a system has no such option, the connection stays as it is.

    Args:
        sock: The connection.
        seconds: How long; in whole seconds, one or more for each probe.
    """
    each = max(1, round(seconds / (_PROBES + 1)))
    options = {
        # When nothing is on its way: the system asks.
        "TCP_KEEPIDLE": each,
        "TCP_KEEPINTVL": each,
        "TCP_KEEPCNT": _PROBES,
        # When something is on its way, and is not acknowledged; in milliseconds.
        "TCP_USER_TIMEOUT": round(seconds * 1000),
    }
    with contextlib.suppress(OSError):  # it has ended already
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in options.items():
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
