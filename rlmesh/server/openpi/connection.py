"""A websocket, as the session manager sees it."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable

from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.sync.server import ServerConnection

from rlmesh.foreign_text import one_line
from rlmesh_api.v1 import session_pb2

# How long the last message may take to leave, in seconds.
_LEAVING_SECONDS = 1.0
# The bytes of the reason in a frame that closes a websocket.
_LONGEST_REASON = 123


class WebsocketStream:
    """The connection of one session; see `rlmesh.server.sessions.connections.SessionStream`.

    `_lock` guards `_over` and `_acts`. Any thread may call it.

    Args:
        connection: The websocket.
    """

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._over = False
        self._acts: list[Callable[[], None]] = []

    @property
    def active(self) -> bool:
        """Whether the client has not ended it."""
        return not self._over

    def cancel(self) -> None:
        """Ends it."""
        self._end("the server ends this session", lambda: None)

    def supersede(self) -> None:
        """Ends it. No session of openpi goes on by another connection."""
        self.cancel()

    def say_farewell(self, failure: session_pb2.Failure, then: Callable[[], None]) -> None:
        """Closes it with the reason, then calls `then`. Does not wait."""
        self._end(failure.message, then)

    def on_end(self, act: Callable[[], None]) -> None:
        """Has `act` called once the connection has ended."""
        with self._lock:
            if not self._over:
                self._acts.append(act)
                return
        act()

    def ended(self) -> None:
        """The connection has ended."""
        with self._lock:
            self._over = True
            acts, self._acts = self._acts, []
        for act in acts:
            act()

    def close(self, reason: str) -> None:
        """Ends it with a reason, and waits until the client has read that, for a moment."""
        timer = threading.Timer(_LEAVING_SECONDS, self.cut)
        timer.daemon = True
        timer.start()
        try:
            self._connection.close(CloseCode.GOING_AWAY, shortened(reason))
        finally:
            timer.cancel()

    def cut(self) -> None:
        """Breaks it at once. A client that does not read would keep a thread waiting."""
        with contextlib.suppress(OSError):
            # Not SSLSocket's own, after which another thread would read what is encrypted.
            socket.socket.shutdown(self._connection.socket, socket.SHUT_RDWR)

    def send(self, message: bytes | str) -> bool:
        """Sends a message; False where the connection has ended."""
        try:
            self._connection.send(message)
        except (ConnectionClosed, OSError):
            return False
        return True

    def receive(self) -> bytes | str | None:
        """The next message; None where the connection has ended."""
        try:
            return self._connection.recv()
        except (ConnectionClosed, OSError):
            return None

    def _end(self, reason: str, then: Callable[[], None]) -> None:
        def run() -> None:
            try:
                self.close(reason)
            finally:
                then()

        try:
            threading.Thread(target=run, name="rlmesh-farewell", daemon=True).start()
        except RuntimeError:
            # The system allows no further thread: the client sees the end, and not the reason.
            self.cut()
            then()


def shortened(reason: str) -> str:
    """A reason, as long as a frame that closes a websocket may have it."""
    data = one_line(reason, _LONGEST_REASON).encode()[:_LONGEST_REASON]
    return data.decode(errors="ignore")
