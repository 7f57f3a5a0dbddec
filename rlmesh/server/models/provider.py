"""Where a session with a model gets its slot, and where the models are."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from rlmesh.codec.step.prediction import CALL_HEAD, read_prediction_call
from rlmesh.errors import InvalidModelError
from rlmesh.server.failures import failed
from rlmesh.server.models.served_model import ServedModel
from rlmesh.server.models.slot import ModelSlot
from rlmesh.server.sessions.kind import EndpointKind
from rlmesh.transports.shm.pipe import SegmentLayout
from rlmesh_api.v1 import env_service_pb2, session_pb2

MODEL = EndpointKind(
    noun="model",
    service="rlmesh_api.v1.ModelService",
    hot_call="predict",
    read_hot=read_prediction_call,
    slab_at=CALL_HEAD,
)
"""The kind of endpoint that a model is."""


class ModelProvider:
    """The models of a server, and the slots of their sessions; see `ServedProvider`.

    `_lock` guards `_slots`.

    Args:
        models: The models by name, one or more.
        capacity: How many sessions there can be at once.
    """

    kind = MODEL

    def __init__(self, models: Mapping[str, ServedModel], capacity: int) -> None:
        self.capacity: int = capacity
        self.models: Mapping[str, ServedModel] = models
        # Of several models each has its own thread.
        self.on_caller: bool = len(models) == 1
        self.plan: SegmentLayout = SegmentLayout.for_slabs(
            max(served.codecs.observation_size for served in models.values()),
            max(served.codecs.answer_size for served in models.values()),
        )
        self._lock = threading.Lock()
        self._slots: list[ModelSlot] = []

    def check(self, call: session_pb2.OpenCall) -> None:
        """Refuses a model that is not served.

        Raises:
            CallFailedError: If it is not.
        """
        if self.find(call.model) is None:
            raise failed(
                session_pb2.ERROR_CODE_INVALID_ARGUMENT,
                f"no model {call.model!r:.80} is served here; there are {', '.join(self.models)}",
            )

    def find(self, name: str) -> ServedModel | None:
        """The model of that name, an empty one standing for the only model; None: there is none."""
        if not name and len(self.models) == 1:
            [served] = self.models.values()
            return served
        return self.models.get(name)

    def take(self, call: session_pb2.OpenCall) -> ModelSlot:
        """A slot for a session.

        Raises:
            CallFailedError: If the steps that the client asks for cannot be applied.
        """
        served = self.find(call.model)
        if served is None:
            raise InvalidModelError(f"no model {call.model!r:.80} is served here")
        backend = served.maker.make_backend(served)
        try:
            backend.adapt(call)
        except BaseException:
            backend.end()
            raise
        with self._lock:
            others = [each for each in self._slots if each.served is served]
            for other in others:
                other.make_room()
            slot = ModelSlot(served, backend, alone=not others)
            self._slots.append(slot)
        return slot

    def give_back(self, slot: ModelSlot) -> None:
        """Ends the session's part of the model, on the slot's thread."""
        with self._lock:
            self._slots.remove(slot)
        slot.release()

    def all(self) -> list[Any]:
        """The models, and the slots of the sessions."""
        versions = [each for served in self.models.values() for each in served.versions()]
        with self._lock:
            return [*versions, *self._slots]

    def start(self) -> None:
        """Starts the thread of every model that has none."""
        for served in self.models.values():
            if not served.current.thread.has_own_thread:
                served.current.thread.start()

    def run(self) -> None:
        """Runs the only model on the calling thread, until the end, unless it has its own."""
        if not self.on_caller:
            self.start()
            return
        [served] = self.models.values()
        [version, *_] = served.versions()
        if not version.thread.has_own_thread:
            version.thread.run()

    def discard(self) -> None:
        """Ends what was started for the models, and leaves them to the caller that made them."""
        for served in self.models.values():
            served.current.discard()

    def describe(self, status: env_service_pb2.GetStatusResponse) -> None:
        """Adds to a status what the models are doing."""
        status.models.extend(self.statuses())

    def statuses(self) -> list[env_service_pb2.ModelStatus]:
        """What the models are doing. Any thread may ask."""
        return [served.current.status() for served in self.models.values()]
