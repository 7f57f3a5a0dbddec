"""An open stream: a session's gRPC stream, for those who send on it or end it."""

from __future__ import annotations

import threading
from collections.abc import Callable

import grpc

from rlmesh.server.sessions.requests import failed_so
from rlmesh_api.v1 import session_pb2

# How long the last messages may take to leave, in seconds.
_LEAVING_SECONDS = 0.5


class OpenStream:
    """A stream of gRPC; see `rlmesh.server.sessions.connections.SessionStream`.

    Args:
        context: The stream, as grpc has it.
        send: Sends an answer; None ends the stream after the answers before it.

    Attributes:
        send: Sends an answer.
    """

    def __init__(self, context: grpc.ServicerContext, send: Callable[[bytes | None], None]) -> None:
        self.send: Callable[[bytes], None] = send
        self._end = send
        self._context = context
        # Guards `_finished`.
        self._lock = threading.Lock()
        self._finished = False

    @property
    def active(self) -> bool:
        """Whether the client has not ended it. Any thread may ask."""
        active: bool = self._context.is_active()
        return active

    def finish(self) -> None:
        """Ends the stream after the answers that were sent. May be called repeatedly."""
        with self._lock:
            if self._finished:
                return
            self._finished = True
        self._end(None)

    def cancel(self) -> None:
        """Ends the stream at once, with the status CANCELLED. Any thread may."""
        self._context.cancel()

    def supersede(self) -> None:
        """Ends the stream because its client goes on by another one. Any thread may."""
        # Not as `cancel` does: the client may look here for why a new connection has broken again.
        self._context.set_code(grpc.StatusCode.UNAVAILABLE)
        self._context.set_details("the client goes on by another stream")
        self._cancel_later()
        self.finish()

    def say_farewell(self, failure: session_pb2.Failure, then: Callable[[], None]) -> None:
        """Sends the client why the session ends, and ends the stream. Any thread may. No wait.

        Args:
            failure: The reason.
            then: Called afterwards, on another thread, whether or not the client has read it.
        """

        def run() -> None:
            try:
                self._cancel_later()
                self.send(failed_so(0, failure).SerializeToString())
                self.finish()
                over = threading.Event()
                self.on_end(over.set)
                over.wait(_LEAVING_SECONDS)
            finally:
                then()

        try:
            threading.Thread(target=run, name="rlmesh-farewell", daemon=True).start()
        except RuntimeError:
            # The system allows no further thread: the client sees the end, and not the reason.
            self.cancel()
            then()

    def _cancel_later(self) -> None:
        # A client that does not read would keep the thread that sends to it waiting.
        timer = threading.Timer(_LEAVING_SECONDS, self._context.cancel)
        timer.daemon = True
        try:
            timer.start()
        except RuntimeError:
            self.cancel()

    def on_end(self, act: Callable[[], None]) -> None:
        """Has `act` called once the stream has ended, on a thread of grpc."""
        if not self._context.add_callback(act):
            act()
