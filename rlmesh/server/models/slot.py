"""The slot of one session with a model: the session's thread, and what answers its calls."""

from __future__ import annotations

from rlmesh.server.call_thread import CallThread
from rlmesh.server.models.backend import ModelBackend
from rlmesh.server.models.served_model import ServedModel
from rlmesh_api.v1 import session_pb2


class ModelSlot:
    """One session's place at a model; see `rlmesh.server.sessions.endpoint.Slot`.

    Args:
        served: The model.

    Attributes:
        served: As given.
        thread: The thread that executes the session's calls; the model is called on its own.
        backend: Answers the calls.
    """

    def __init__(self, served: ServedModel) -> None:
        self.served: ServedModel = served
        self.thread: CallThread = CallThread("rlmesh-model-session")
        self.backend: ModelBackend = ModelBackend(served)

    @property
    def made(self) -> ModelBackend:
        """What answers calls. Any thread may ask."""
        return self.backend

    def enter(self, call: session_pb2.OpenCall) -> None:
        """Nothing: what answers the calls is made with the slot."""

    def stack(self) -> str:
        """Where the model's call in progress is; empty where this session is in no call."""
        return "" if self.thread.running is None else self.backend.version.stack()

    def abandon(self, reason: str, *, starting: bool = True) -> bool:
        """Returns False: a call in this process cannot be ended by force."""
        return False

    def close(self) -> None:
        """Nothing: the session ends, and the model stays."""
