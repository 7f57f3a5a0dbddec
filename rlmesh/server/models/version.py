"""One version of a model: its thread, its queue, and its end."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic
from typing import Any

from rlmesh.contract import ModelContract
from rlmesh.server.call_thread import CallThread
from rlmesh.server.failures import CallFailedError, draining, log_text, model_raised
from rlmesh.server.models.batcher import Batcher
from rlmesh.server.models.caller import ModelCaller
from rlmesh.server.models.options import ModelOptions
from rlmesh.server.sessions.endpoint import ThreadStoppedError
from rlmesh_api.v1 import env_service_pb2, session_pb2

_log = logging.getLogger("rlmesh.server")


class ModelVersion:
    """A version of a model, and the one thread that calls it.

    To the lifecycle it is a slot that no session holds; see `rlmesh.server.lifecycle.OwnedSlot`.

    Args:
        model: The model; `read_model_contract` has accepted it.
        number: Its number, from 1.
        contract: Its contract.
        options: How it is served.

    Attributes:
        number: As given.
        contract: As given.
        on_ready: Not called: a model in this process answers from its warm-up to its end.
        caller: Calls its methods.
        thread: The thread on which that happens.
        batcher: Its queue.
        ready: Whether it is warmed up.
        guests: The slots whose calls run on its thread. Provider and that thread change it, each by
            one call of a list's method.
        retired: Whether it has been replaced and no episode has it any more.
    """

    made = None
    backend: Any = None

    def __init__(
        self, model: Any, number: int, contract: ModelContract, options: ModelOptions
    ) -> None:
        self.number: int = number
        self.contract: ModelContract = contract
        self.on_ready: Callable[[bool], None] = _nobody
        self.caller: ModelCaller = ModelCaller(model, contract)
        self.thread: CallThread = CallThread("rlmesh-model")
        self.batcher: Batcher = Batcher(self.thread, options, keeps_state=contract.keeps_state)
        self.ready: bool = False
        self.guests: list[object] = []
        self.retired: bool = False
        self._name = contract.id
        self._warms_up = options.warmup
        self._closed = False

    @property
    def sessions(self) -> int:
        """How many sessions have it, which the served model counts."""
        return self.batcher.sessions

    @sessions.setter
    def sessions(self, count: int) -> None:
        self.batcher.sessions = count

    def discard(self) -> None:
        """Nothing: nothing was started for it."""

    def enter(self, call: session_pb2.OpenCall) -> None:
        """Nothing: no session holds it."""

    def warm_up(self, then: Callable[[BaseException | None], None]) -> None:
        """Has the model warm up on its thread; does not wait.

        Args:
            then: Called there afterwards, with what the model raised or None.
        """

        def run() -> None:
            error: BaseException | None = None
            try:
                warmup = getattr(self.caller.model, "warmup", None)
                if self._warms_up and callable(warmup):
                    warmup()
            except BaseException as raised:  # noqa: BLE001 - `then` hands it to the user
                error = raised
            self.ready = error is None
            then(error)

        self.thread.post(run, name="warmup")

    def call(self, work: Callable[[], Any], name: str) -> Any:
        """Calls the model on its thread, and waits.

        Raises:
            CallFailedError: If the work fails, or the server ends.
        """
        if self.thread.is_current:
            return work()
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
        """Answers what waits, and closes the model, once. What that raises is logged.

        On the version's thread.
        """
        if self._closed:
            return
        self._closed = True
        self.batcher.close()
        close = getattr(self.caller.model, "close", None)
        if not callable(close):
            return
        try:
            close()
        except BaseException as error:  # noqa: BLE001 - the server ends in any case
            failure = model_raised("the model's close()", error).failure
            _log.error("%s", log_text(failure))

    def retire(self) -> None:
        """Closes the model and ends its thread, once it is in no call. Does not wait."""
        self.retired = True
        try:
            self.thread.post(self.close, name="close")
        except ThreadStoppedError:
            # The server ends, and closes it.
            return
        if not self.guests:
            self.thread.stop()

    def status(self) -> env_service_pb2.ModelStatus:
        """What the model is doing. Any thread may ask."""
        status = env_service_pb2.ModelStatus(
            name=self._name,
            version=self.number,
            ready=self.ready,
            queue_length=self.batcher.queue_length,
        )
        running = self.thread.running
        if running is not None:
            status.call = running.name
            status.busy_seconds = monotonic() - running.since
            status.stack = self.stack()
        return status


def _nobody(ready: bool) -> None:
    """Nobody listens."""
