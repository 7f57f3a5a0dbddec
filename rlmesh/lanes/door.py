"""The door: where a session's client and its server meet to share memory.

The server listens on a Unix socket in Linux's abstract namespace, under a name that only its
sessions' clients are told: there is no file to be left behind, and no way in from another machine
or from a container with a network of its own. Whoever comes must be the same user and show a
session's secret; he is given a segment and keeps the socket as doorbell and lifeline.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import socket
import struct
import sys
import threading
from collections.abc import Callable

from rlmesh.lanes.memory_port import MemoryPort, Plan
from rlmesh.lanes.segment import create_segment

_log = logging.getLogger("rlmesh.lanes")

SUPPORTED = sys.platform == "linux"
SECRET_BYTES = 32

# How long either side waits for the other's half of the greeting.
_GREETING_SECONDS = 1.0
_PLAN = struct.Struct("<QQ")
_CREDENTIALS = struct.Struct("3i")


class Door:
    """The server's side.

    Args:
        plan: How segments are divided.
        admit: Takes the secret that was shown; gives what takes what makes the session's port,
            given a descriptor that ends its waits as well; None for a stranger.

    Attributes:
        name: The socket's name in the abstract namespace.
    """

    def __init__(
        self,
        plan: Plan,
        admit: Callable[[bytes], Callable[[Callable[[int], MemoryPort]], None] | None],
    ) -> None:
        self.name = f"rlmesh-{secrets.token_hex(16)}"
        self._plan = plan
        self._admit = admit
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(f"\0{self.name}")
        self._socket.listen()
        self._thread = threading.Thread(target=self._watch, name="rlmesh-door", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:
            # There can be no further thread.
            self._socket.close()
            raise

    def close(self) -> None:
        """Lets nobody in any more. Ports that were given out live on."""
        with contextlib.suppress(OSError):
            # Closing alone would not wake the thread that waits in accept.
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _watch(self) -> None:
        while True:
            try:
                guest, _ = self._socket.accept()
            except OSError:
                return
            try:
                self._greet(guest)
            except OSError as error:
                _log.debug("a guest left in the middle of the greeting: %s", error)
                guest.close()

    def _greet(self, guest: socket.socket) -> None:
        guest.settimeout(_GREETING_SECONDS)
        size = _CREDENTIALS.size
        credentials = guest.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        _, user, _ = _CREDENTIALS.unpack(credentials)
        secret = guest.recv(SECRET_BYTES, socket.MSG_WAITALL)
        attach = self._admit(secret) if user == os.geteuid() else None
        if attach is None:
            guest.close()
            return
        descriptor = create_segment(self._plan.size)
        try:
            words = _PLAN.pack(self._plan.request, self._plan.answer)
            socket.send_fds(guest, [words], [descriptor])
        except OSError:
            os.close(descriptor)
            raise
        guest.settimeout(None)
        attach(lambda also: MemoryPort(guest, descriptor, self._plan, client=False, also=also))


def enter(name: str, secret: bytes) -> MemoryPort | None:
    """The client's side: a port of the session with that secret.

    Returns:
        The port, or None where the door cannot be reached or does not open: on another machine, in
        a container with a network of its own, for another user.
    """
    if not SUPPORTED:
        return None
    with contextlib.ExitStack() as undo:
        sock = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        try:
            sock.settimeout(_GREETING_SECONDS)
            sock.connect(f"\0{name}")
            sock.sendall(secret)
            words, descriptors, _, _ = socket.recv_fds(sock, _PLAN.size, 1)
        except OSError:
            return None
        if len(words) != _PLAN.size or len(descriptors) != 1:
            return None
        sock.settimeout(None)
        undo.pop_all()
        return MemoryPort(sock, descriptors[0], Plan(*_PLAN.unpack(words)), client=True)
