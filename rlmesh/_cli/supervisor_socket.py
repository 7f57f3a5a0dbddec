"""Says to systemd that a server serves, as `Type=notify` wants it."""

from __future__ import annotations

import os
import socket

VARIABLE = "NOTIFY_SOCKET"
"""The environment variable in which a supervisor names its socket."""


class SupervisorSocket:
    """The datagram socket on which a supervisor waits for a service's state; see sd_notify(3).

    Args:
        name: A path, or a name in Linux's abstract namespace after an `@`.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    @classmethod
    def take(cls) -> SupervisorSocket | None:
        """The socket of this process's environment; None: no supervisor waits.

        The variable is removed: what the environment or the model starts is not the service.
        """
        name = os.environ.pop(VARIABLE, "")
        return cls(name) if name else None

    def say_ready(self, status: str) -> None:
        """Says that the service answers its clients.

        Args:
            status: One line for people; `systemctl status` shows it.

        Raises:
            OSError: If nobody receives it.
        """
        path = f"\0{self._name[1:]}" if self._name.startswith("@") else self._name
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.sendto(f"READY=1\nSTATUS={status}\n".encode(), path)
        except OSError as error:
            raise OSError(
                f"nothing receives at {VARIABLE}={self._name!r}: {error.strerror or error}; a "
                f"supervisor sets this variable and listens there, else leave it unset"
            ) from error
