"""The slot of one session with a model: the session's thread, and what answers its calls."""

from __future__ import annotations

from rlmesh.server.models.backend import ModelBackend
from rlmesh.server.models.served_model import ServedModel
from rlmesh.server.models.session_thread import SessionThread
from rlmesh.server.models.version import ModelVersion
from rlmesh_api.v1 import session_pb2


class ModelSlot:
    """One session's place at a model; see `rlmesh.server.sessions.endpoint.Slot`.

    Args:
        served: The model.
        alone: Whether no other session has a slot of the model. Then the model's own thread
            executes the session's calls, so that no call waits for another thread to wake up;
            `make_room` ends that.

    Attributes:
        served: As given.
        backend: Answers the calls.
        thread: The thread that executes the session's calls.
    """

    def __init__(self, served: ServedModel, *, alone: bool) -> None:
        self.served: ServedModel = served
        self.backend: ModelBackend = ModelBackend(served)
        self._host: ModelVersion = self.backend.answering
        if alone:
            self._host.guests.append(self)
        self.thread: SessionThread = SessionThread(self._host.thread if alone else None)

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
    def made(self) -> ModelBackend:
        """What answers calls. Any thread may ask."""
        return self.backend

    def enter(self, call: session_pb2.OpenCall) -> None:
        """Nothing: what answers the calls is made with the slot."""

    def stack(self) -> str:
        """Where the model's call in progress is; empty where this session is in no call."""
        return "" if self.thread.running is None else self.backend.answering.stack()

    def abandon(self, reason: str, *, starting: bool = True) -> bool:
        """Returns False: a call in this process cannot be ended by force."""
        return False

    def close(self) -> None:
        """Nothing: the session ends, and the model stays."""
