"""An open stream: what ends a session's gRPC stream, from any thread."""

from __future__ import annotations

import threading
from collections.abc import Callable

import grpc

from rlmesh.server.sessions.requests import failed_so
from rlmesh_api.v1 import session_pb2

# How long what was sent may take to leave.
_LEAVING_SECONDS = 0.5


class OpenStream:
    """A stream of gRPC.

    Args:
        context: What grpc knows of it.
        send: Sends an answer; None ends the stream.

    Attributes:
        send: Sends an answer.
    """

    def __init__(self, context: grpc.ServicerContext, send: Callable[[bytes | None], None]) -> None:
        self.send: Callable[[bytes], None] = send
        self._end = send
        self._context = context
        self._lock = threading.Lock()
        self._finished = False

    def finish(self) -> None:
        """Ends the stream after the answers that were sent. May be called repeatedly."""
        with self._lock:
            if self._finished:
                return
            self._finished = True
        self._end(None)

    def cancel(self) -> None:
        """Ends it at once; its client is told that the server shuts down. Any thread may."""
        self._context.cancel()

    def supersede(self) -> None:
        """Ends it, as its client goes on by another stream. Any thread may."""
        # Not as `cancel` does: the client may look here for why a new connection has broken again.
        self._context.set_code(grpc.StatusCode.UNAVAILABLE)
        self._context.set_details("the client goes on by another stream")
        self.finish()
        self._cancel_later()

    def say_farewell(self, failure: session_pb2.Failure, then: Callable[[], None]) -> None:
        """Tells the client why the session ends, and ends it. Any thread may, and does not wait.

        Args:
            failure: Why.
            then: What is to be done afterwards.
        """

        def tell() -> None:
            over = threading.Event()
            self._cancel_later()
            self.send(failed_so(0, failure).SerializeToString())
            self.finish()
            self.on_end(over.set)
            over.wait(_LEAVING_SECONDS)
            then()

        threading.Thread(target=tell, name="rlmesh-farewell", daemon=True).start()

    def _cancel_later(self) -> None:
        # A connection that takes no bytes would keep whoever sends on it waiting.
        timer = threading.Timer(_LEAVING_SECONDS, self._context.cancel)
        timer.daemon = True
        timer.start()

    def on_end(self, act: Callable[[], None]) -> None:
        """Has something done once the stream has ended."""
        if not self._context.add_callback(act):
            act()
