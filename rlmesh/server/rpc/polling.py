"""Keeps gRPC's thread alive where there is no memory for a message.

gRPC receives every call of a server on one thread. Where Python has no memory for a message, that
thread ends with a `MemoryError`, and nothing is answered any more, a shutdown included.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc


def survive_memory_errors(server: grpc.Server, on_loss: Callable[[], None]) -> None:
    """Has a server go on after a `MemoryError`; before it is started.

    Args:
        server: The server. Where grpc is built differently, it stays as it is.
        on_loss: Called on gRPC's thread when a message is lost. Its stream waits for it in vain,
            and nobody knows which stream that is.
    """
    # Private, all of it: grpc has no other place where the error could be caught.
    state: Any = getattr(server, "_state", None)
    if hasattr(state, "completion_queue") and hasattr(state, "server"):
        queue = _Queue(state.completion_queue, on_loss)
        state.server = _Core(state.server, queue)
        state.completion_queue = queue


class _Queue:
    """The queue of gRPC's events, without its `MemoryError`."""

    def __init__(self, queue: Any, on_loss: Callable[[], None]) -> None:
        self.queue = queue
        self._poll = queue.poll
        self._on_loss = on_loss
        self._lost = False

    def poll(self, deadline: float) -> Any:
        """The next event."""
        while True:
            try:
                if self._lost:
                    self._on_loss()
                    self._lost = False
                return self._poll(deadline)
            except MemoryError:
                self._lost = True


class _Core:
    """The server of gRPC's core, which takes its own queue only."""

    def __init__(self, server: Any, queue: _Queue) -> None:
        self._server = server
        self._queue = queue

    def request_call(self, _call: Any, _server: Any, tag: Any) -> Any:
        """Asks for the next call."""
        return self._server.request_call(self._queue.queue, self._queue.queue, tag)

    def request_registered_call(self, _call: Any, _server: Any, method: str, tag: Any) -> Any:
        """Asks for the next call of a method."""
        queue = self._queue.queue
        return self._server.request_registered_call(queue, queue, method, tag)

    def shutdown(self, _: Any, tag: Any) -> Any:
        """Begins the end."""
        return self._server.shutdown(self._queue.queue, tag)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._server, name)
