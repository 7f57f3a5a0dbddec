"""The slot of one session with a model: the session's thread, and what answers its calls."""

from __future__ import annotations

from typing import Any

from rlmesh.server.call_thread import CallThread
from rlmesh.server.models.served_model import ServedModel
from rlmesh_api.v1 import session_pb2


class ModelSlot:
    """One session's place at a model; see `rlmesh.server.sessions.endpoint.Slot`.

    Args:
        served: The model.
        alone: Whether no other session can ask the model meanwhile. Then the model's own thread
            executes the session's calls, so that no call waits for another thread to wake up.

    Attributes:
        served: As given.
        backend: Answers the calls.
        thread: The thread that executes the session's calls.
    """

    def __init__(self, served: ServedModel, *, alone: bool) -> None:
        self.served: ServedModel = served
        self.backend: Any = served.maker.make_backend(served)
        self._host: Any = self.backend.answering if alone and served.maker.hosts else None
        if self._host is None:
            self.thread: CallThread = CallThread("rlmesh-model-session")
            self.thread.start()
        else:
            self._host.hosts = True
            self.thread = self._host.thread

    def release(self) -> None:
        """Ends the session, on its thread."""
        host = self._host
        if host is None:
            self.thread.stop()
        else:
            host.hosts = False
        self.backend.end()
        if host is not None and host.retired:
            # It was replaced in the session, and its thread went on for that.
            host.thread.stop()

    @property
    def made(self) -> Any:
        """What answers calls. Any thread may ask."""
        return self.backend

    def enter(self, call: session_pb2.OpenCall) -> None:
        """Nothing: what answers the calls is made with the slot."""

    def stack(self) -> str:
        """Where the model's call in progress is; empty where this session is in no call."""
        found: str = "" if self.thread.running is None else self.backend.answering.stack()
        return found

    def abandon(self, reason: str, *, starting: bool = True) -> bool:
        """Ends the call in progress by force, where that is possible; see `ModelVersion`."""
        done: bool = self.backend.answering.abandon(reason, starting=starting)
        return done

    def close(self) -> None:
        """Nothing: the session ends, and the model stays."""
