"""The slot of one session with a model: the session's thread, and what answers its calls."""

from __future__ import annotations

from typing import Any

from rlmesh.server.models.served_model import ServedModel
from rlmesh.server.models.session_thread import SessionThread
from rlmesh_api.v1 import session_pb2


class ModelSlot:
    """One session's place at a model; see `rlmesh.server.sessions.endpoint.Slot`.

    Args:
        served: The model.
        backend: Answers the calls.
        alone: Whether no other session has a slot of the model. Then the model's own thread
            executes the session's calls, so that no call waits for another thread to wake up;
            `make_room` ends that.

    Attributes:
        served: As given.
        backend: As given.
        thread: The thread that executes the session's calls.
    """

    def __init__(self, served: ServedModel, backend: Any, *, alone: bool) -> None:
        self.served: ServedModel = served
        self.backend: Any = backend
        self._host: Any = self.backend.answering
        hosted = alone and served.maker.hosts
        if hosted:
            self._host.guests.append(self)
        self.thread: SessionThread = SessionThread(self._host.thread if hosted else None)

    def make_room(self) -> None:
        """Leaves the model's thread to all sessions alike. Any thread may call it, repeatedly."""
        self.thread.leave_host(self._left)

    def release(self) -> None:
        """Ends the session, on its thread."""
        hosted = self.thread.release()
        self.backend.end()
        if hosted:
            self._left()

    def _left(self) -> None:
        """The model's thread executes no more calls of the session. On that thread."""
        host = self._host
        host.guests.remove(self)
        if host.retired and not host.guests:
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
