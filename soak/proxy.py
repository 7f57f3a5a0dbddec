"""A TCP proxy that cuts connections: those that it is asked to, at once and without a word."""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
from types import TracebackType

from typing_extensions import Self

_CHUNK = 1 << 16
_NO_FAREWELL = struct.pack("ii", 1, 0)
_SECONDS = 10.0


class Proxy:
    """Passes on what crosses between clients and a server, until it is asked to cut it.

    Args:
        address: The server's address, `tcp://HOST:PORT`.

    Attributes:
        address: Where clients connect.
    """

    def __init__(self, address: str) -> None:
        host, _, port = address.removeprefix("tcp://").rpartition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: str = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self._lock = threading.Lock()
        self._other: dict[socket.socket, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        # Whose readability ends the thread.
        self._ended, self._end = socket.socketpair()
        self._selector.register(self._ended, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._thread.start()

    def cut(self) -> int:
        """Cuts every connection that there is; how many."""
        with self._lock:
            count = len(self._other) // 2
            for sock in list(self._other):
                self._drop(sock)
        return count

    def close(self) -> None:
        """Ends it, with all that it passes on."""
        self._end.close()
        self._thread.join(_SECONDS)
        self.cut()
        for sock in (self._listener, self._ended):
            sock.close()
        self._selector.close()

    def __enter__(self) -> Self:
        """The proxy itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends it."""
        self.close()

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._ended:
                    return
                if key.fileobj is self._listener:
                    self._accept()
                else:
                    with self._lock:
                        self._pass_on(key.fd)

    def _accept(self) -> None:
        peer, _ = self._listener.accept()
        try:
            server = socket.create_connection(self._target, _SECONDS)
        except OSError:
            peer.close()
            return
        with self._lock:
            for sock, other in ((peer, server), (server, peer)):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._other[sock] = other
                self._selector.register(sock, selectors.EVENT_READ)

    def _pass_on(self, descriptor: int) -> None:
        # It may have been cut between the selector's word and the lock.
        sock = next((each for each in self._other if each.fileno() == descriptor), None)
        if sock is None:
            return
        try:
            data = sock.recv(_CHUNK, socket.MSG_DONTWAIT)
            if data:
                self._other[sock].sendall(data)
                return
        except BlockingIOError:
            return
        except OSError:
            pass  # one side is gone, and so is the other
        self._drop(sock)

    def _drop(self, sock: socket.socket) -> None:
        other = self._other.pop(sock, None)
        if other is None:
            return
        self._other.pop(other, None)
        for each in (sock, other):
            self._selector.unregister(each)
            with contextlib.suppress(OSError):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_FAREWELL)
            each.close()
