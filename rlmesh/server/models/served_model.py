"""One model of a server, and the one thread that calls it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic
from typing import Any, NamedTuple

from rlmesh.contract import ModelContract
from rlmesh.server.call_thread import CallThread
from rlmesh.server.failures import CallFailedError, draining, model_raised
from rlmesh.server.models.batcher import Batcher
from rlmesh.server.models.caller import ModelCaller
from rlmesh.server.models.codecs import ModelCodecs
from rlmesh.server.models.options import ModelOptions
from rlmesh.server.sessions.endpoint import ThreadStoppedError
from rlmesh_api.v1 import env_service_pb2, session_pb2

_log = logging.getLogger("rlmesh.server")


class Version(NamedTuple):
    """One version of a model.

    Attributes:
        number: Its number, from 1.
        caller: Asks it.
    """

    number: int
    caller: ModelCaller


class ServedModel:
    """A model, its thread and its queue. It is a slot that no session holds; see `OwnedSlot`.

    Args:
        model: The model; `read_model_contract` has accepted it.
        contract: Its contract.
        options: How it is served.

    Attributes:
        contract: As given.
        codecs: What its values go through.
        thread: The thread that calls it.
        batcher: Its queue.
        version: The version that episodes begin with.
        ready: Whether it is warmed up.
    """

    made = None

    def __init__(self, model: Any, contract: ModelContract, options: ModelOptions) -> None:
        self.contract: ModelContract = contract
        self.codecs: ModelCodecs = ModelCodecs(contract, options.policy)
        self.thread: CallThread = CallThread("rlmesh-model")
        self.batcher: Batcher = Batcher(self.thread, options, keeps_state=contract.keeps_state)
        self.version: Version = Version(1, ModelCaller(model, contract))
        self.ready: bool = False
        self._warms_up = options.warmup
        self._closed = False

    @property
    def backend(self) -> Any:
        """None: no session holds it."""
        return None

    def enter(self, call: session_pb2.OpenCall) -> None:
        """Nothing: no session holds it."""

    def warm_up(self, then: Callable[[BaseException | None], None]) -> None:
        """Has the model warm up on its thread; does not wait.

        Args:
            then: Called there afterwards, with what the model raised or None.
        """

        def run() -> None:
            try:
                if self._warms_up:
                    warmup = getattr(self.version.caller.model, "warmup", None)
                    if callable(warmup):
                        warmup()
            except BaseException as error:
                then(error)
                raise
            self.ready = True
            then(None)

        self.thread.post(run, name="warmup")

    def call(self, work: Callable[[], Any], name: str) -> Any:
        """Calls the model on its thread, and waits.

        Raises:
            CallFailedError: If the work fails, or the server ends.
        """
        try:
            return self.thread.call(work, name=name)
        except ThreadStoppedError as error:
            raise CallFailedError(draining()) from error

    def stack(self) -> str:
        """Where the call in progress is, the innermost frame last; empty between calls."""
        return self.thread.stack()

    def abandon(self, reason: str, *, starting: bool = True) -> bool:
        """Returns False: a call in this process cannot be ended by force."""
        return False

    def close(self) -> None:
        """Answers what waits, and closes the model, once. What it raises is logged."""
        if self._closed:
            return
        self._closed = True
        self.batcher.close()
        close = getattr(self.version.caller.model, "close", None)
        if not callable(close):
            return
        try:
            close()
        except BaseException as error:  # noqa: BLE001 - the server ends in any case
            failure = model_raised("the model's close()", error).failure
            _log.error("%s\n%s", failure.message, failure.traceback)

    def status(self) -> env_service_pb2.ModelStatus:
        """What the model is doing. Any thread may ask."""
        status = env_service_pb2.ModelStatus(
            name=self.contract.id,
            version=self.version.number,
            ready=self.ready,
            queue_length=self.batcher.queue_length,
        )
        running = self.thread.running
        if running is not None:
            status.call = running.name
            status.busy_seconds = monotonic() - running.since
            status.stack = self.stack()
        return status
