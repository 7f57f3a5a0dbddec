"""An encrypted connection of the transport `direct`, with the interface of a plain socket."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
from typing import Any

_NOT_YET = (ssl.SSLWantReadError, ssl.SSLWantWriteError)


def secured(
    sock: socket.socket, context: ssl.SSLContext, *, server_name: str | None = None
) -> ssl.SSLSocket:
    """Makes the TLS handshake, within the connection's time limit.

    Args:
        sock: The connection. The result owns it.
        context: The certificates.
        server_name: The name that the server's certificate must have; None on the server's side.

    Raises:
        OSError: If it fails. The connection is closed then.
    """
    with contextlib.ExitStack() as undo:
        undo.callback(sock.close)
        made = context.wrap_socket(
            sock,
            server_side=server_name is None,
            server_hostname=server_name,
            do_handshake_on_connect=False,
        )
        undo.callback(made.close)
        made.do_handshake()
        undo.pop_all()
        return made


class TlsSocket:
    """A non-blocking TLS connection with the methods of a socket that `TcpPipe` uses.

    If Ctrl-C comes while a record is moved, it is unknown how much of it was moved, and the
    connection ends. A pipe waits most of the time, and a wait survives Ctrl-C.

    Args:
        sock: The connection, after its handshake. This object owns it.
    """

    def __init__(self, sock: ssl.SSLSocket) -> None:
        self._sock = sock
        self._torn = False

    def fileno(self) -> int:
        """The descriptor."""
        return self._sock.fileno()

    def setblocking(self, flag: bool) -> None:
        """Says whether calls wait."""
        self._sock.setblocking(flag)

    def getsockname(self) -> Any:
        """The address of this end."""
        return self._sock.getsockname()

    def getpeername(self) -> Any:
        """The address of the other end."""
        return self._sock.getpeername()

    def setsockopt(self, level: int, name: int, value: int) -> None:
        """Sets an option of the connection."""
        self._sock.setsockopt(level, name, value)

    def recv_into(self, buffer: Any) -> int:
        """As a socket's; raises `BlockingIOError` where there is nothing yet."""
        self._begin()
        try:
            moved = self._sock.recv_into(buffer)
        except _NOT_YET as error:
            self._torn = False
            raise BlockingIOError from error
        self._torn = False
        return moved

    def send(self, data: Any) -> int:
        """As a socket's; raises `BlockingIOError` where there is no room yet."""
        self._begin()
        try:
            moved = self._sock.send(data)
        except _NOT_YET as error:
            self._torn = False
            raise BlockingIOError from error
        self._torn = False
        return moved

    def poller(self) -> TlsPoller:
        """What waits for this connection."""
        return TlsPoller(self._sock)

    def shutdown(self, how: int) -> None:
        """Ends the connection; any thread may."""
        # Not SSLSocket's own, after which another thread would read what is encrypted as it is.
        socket.socket.shutdown(self._sock, how)

    def close(self) -> None:
        """Gives the descriptor back."""
        self._sock.close()

    def _begin(self) -> None:
        if self._torn:
            raise ConnectionAbortedError("an interruption came in the middle of a record")
        self._torn = True


class TlsPoller:
    """As `select.poll`, and it also knows what has arrived and is decrypted already.

    A pipe may take a part of a record. The rest is in no socket that could be polled.
    """

    def __init__(self, sock: ssl.SSLSocket) -> None:
        self._sock = sock
        self._poll = select.poll()

    def register(self, descriptor: Any, events: int) -> None:
        """Watches a descriptor."""
        self._poll.register(descriptor, events)

    def modify(self, descriptor: Any, events: int) -> None:
        """Watches it for something else."""
        self._poll.modify(descriptor, events)

    def poll(self, milliseconds: float | None = None) -> list[tuple[int, int]]:
        """Waits until something has happened, at most for so long."""
        if not self._sock.pending():
            return self._poll.poll(milliseconds)
        mine = self._sock.fileno()
        found = self._poll.poll(0)
        return found if any(each == mine for each, _ in found) else [*found, (mine, select.POLLIN)]
