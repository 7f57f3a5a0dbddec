"""Gathers the requests of sessions, and has the model answer them together."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from time import perf_counter
from typing import Any

from rlmesh.codec.slab.violations import Violation
from rlmesh.envs import forks
from rlmesh.server.call_thread import CallThread
from rlmesh.server.failures import CallFailedError, draining, failed, model_raised
from rlmesh.server.models.caller import ModelCaller
from rlmesh.server.models.context import SessionContext
from rlmesh.server.models.options import ModelOptions
from rlmesh.server.sessions.endpoint import ThreadStoppedError
from rlmesh_api.v1 import session_pb2

# Where clients ask again as soon as they are answered, the next call of the model waits for each
# further one of them up to this part of what the last call took.
_RETURN_PART = 0.125


class PredictionRequest:
    """What one session asks the model for.

    Args:
        caller: Asks the version of the model that answers.
        observations: The observations, one or more.
        contexts: The context of each.
        chunk: Whether chunks are wanted.

    Attributes:
        caller: As given.
        observations: As given.
        contexts: As given.
        chunk: As given.
        asked: When it was handed in, on the clock of `time.perf_counter`.
        answers: What the model gave, once it has.
        error: Why it gave nothing; None where it did.
        queue_seconds: For how long it has waited.
        model_seconds: For how long the model has computed.
        batch_size: How many observations the model has computed at once.
        done: Released once the model has; only where another thread waits for it.
    """

    __slots__ = (
        "answers",
        "asked",
        "batch_size",
        "caller",
        "chunk",
        "contexts",
        "done",
        "error",
        "model_seconds",
        "observations",
        "queue_seconds",
    )

    def __init__(
        self,
        caller: ModelCaller,
        observations: Sequence[Any],
        contexts: Sequence[SessionContext],
        *,
        chunk: bool,
    ) -> None:
        self.done: threading.Lock
        self.caller: ModelCaller = caller
        self.observations: Sequence[Any] = observations
        self.contexts: Sequence[SessionContext] = contexts
        self.chunk: bool = chunk
        self.asked: float = 0.0
        self.answers: list[Any] = []
        self.error: Exception | None = None
        self.queue_seconds: float = 0.0
        self.model_seconds: float = 0.0
        self.batch_size: int = 0


class Batcher:
    """The queue of one model. `ask` is for the threads of sessions, the rest for the model's.

    `_changed` guards `_waiting`, `_posted`, `_closed` and `_awaited`.

    Args:
        thread: The model's thread.
        keeps_state: Whether the model keeps state.
        options: How it is served.

    Attributes:
        sessions: How many sessions there are, which the provider counts.
    """

    def __init__(self, thread: CallThread, options: ModelOptions, *, keeps_state: bool) -> None:
        self.sessions: int = 0
        self._thread = thread
        self._keeps_state = keeps_state
        self._limit = options.max_batch_size
        self._wait = options.batch_wait_seconds
        self._queue_limit = options.queue_limit
        self._changed = threading.Condition()
        self._waiting: list[PredictionRequest] = []
        self._posted = False
        self._closed = False
        # How many requests the model's thread waits for; 0 where it waits for none.
        self._awaited = 0
        # What the last call of the model was: how many requests it answered or left waiting, when
        # it ended, and for how long it took. Only the model's thread uses these.
        self._round = 0
        self._ended = 0.0
        self._took = 0.0

    @property
    def queue_length(self) -> int:
        """How many requests wait. Any thread may ask."""
        return len(self._waiting)

    def ask(self, request: PredictionRequest) -> None:
        """Has the model answer a request, and waits for it.

        Raises:
            CallFailedError: If the model fails, the queue is full, or the server ends.
        """
        request.asked = perf_counter()
        if self._thread.is_current:
            # The only session there is: its calls run on the model's thread.
            failure: CallFailedError | None = None
            try:
                _ask([request], self._limit)
            except BaseException as error:  # noqa: BLE001 - the client is answered with it
                failure = _failure(error)
            if failure is not None:
                raise failure
            return
        request.done = threading.Lock()
        request.done.acquire()
        with self._changed:
            if self._closed:
                raise CallFailedError(draining())
            waiting = len(self._waiting)
            if self._queue_limit is not None and waiting >= self._queue_limit:
                raise _full(waiting)
            self._waiting.append(request)
            self._post()
            if self._wait or 0 < self._awaited <= len(self._waiting):
                self._changed.notify()
        request.done.acquire()
        if request.error is not None:
            raise request.error

    def close(self) -> None:
        """Answers what waits, and takes no more."""
        with self._changed:
            self._closed = True
        while self._run_batch():
            pass

    def _post(self) -> None:
        """Has the model's thread run a batch. Called with the lock held."""
        if self._posted or not self._waiting:
            return
        try:
            self._thread.post(self._run, name="predict")
            self._posted = True
        except ThreadStoppedError:
            for request in self._waiting:
                _fail(request, CallFailedError(draining()))
            self._waiting.clear()

    def _run(self) -> None:
        try:
            self._run_batch()
        finally:
            # Also where the model has raised SystemExit: others wait.
            with self._changed:
                # Other calls, as a reset, come between two batches.
                self._posted = False
                self._post()

    def _run_batch(self) -> bool:
        """Answers the requests that wait, as far as they go together; whether there were any."""
        batch = self._gathered()
        if not batch:
            return False
        began = perf_counter()
        try:
            _compute(batch, self._limit, keeps_state=self._keeps_state)
        finally:
            self._ended = perf_counter()
            self._took = self._ended - began
            self._round = len(batch) + len(self._waiting)
            for request in batch:
                request.done.release()
        return True

    def _gathered(self) -> list[PredictionRequest]:
        with self._changed:
            if not self._waiting:
                return []
            first = self._waiting[0]
            limit = self._limit if first.caller.batches(chunk=first.chunk) else 1
            if self._wait:
                self._await_others(limit)
            elif limit != 1 and self._round > 1:
                self._await_returns(limit)
            batch: list[PredictionRequest] = []
            size = 0
            for request in self._waiting:
                if request.chunk is not first.chunk or request.caller is not first.caller:
                    continue
                size += len(request.observations)
                if batch and limit is not None and size > limit:
                    break
                batch.append(request)
            for request in batch:
                self._waiting.remove(request)
        return batch

    def _await_others(self, limit: int | None) -> None:
        """Waits until a batch is full, no other session could ask, or the time is over."""
        deadline = self._waiting[0].asked + self._wait
        while True:
            waiting = len(self._waiting)
            if waiting >= self.sessions or (limit is not None and waiting >= limit):
                return
            remaining = deadline - perf_counter()
            if remaining <= 0 or not self._changed.wait(remaining):
                return

    def _await_returns(self, limit: int | None) -> None:
        """Waits for those that the last call has answered, as long as they keep coming.

        Without that, clients that ask in a loop fall apart into a batch of one and one of the rest.
        """
        goal = min(self._round, self.sessions, limit or self._round)
        pause = _RETURN_PART * self._took
        last = max(self._ended, self._waiting[-1].asked)
        if self._ended + pause < self._waiting[0].asked:
            # The last call is long over: nobody asks in a loop.
            return
        self._awaited = goal
        while len(self._waiting) < goal and (remaining := last + pause - perf_counter()) > 0:
            self._changed.wait(remaining)
            last = max(last, self._waiting[-1].asked)
        self._awaited = 0


def _compute(batch: list[PredictionRequest], limit: int | None, *, keeps_state: bool) -> None:
    """Has the model answer a batch; every request has answers or an error afterwards."""
    try:
        _ask(batch, limit)
    except Exception as error:  # noqa: BLE001 - the model's code may raise anything
        if keeps_state or len(batch) == 1:
            for request in batch:
                request.error = _failure(error)
            return
        for request in batch:
            for context in request.contexts:
                context.again()
            _compute([request], limit, keeps_state=keeps_state)
    except BaseException as error:
        # Also a shutdown that interrupts the call.
        for request in batch:
            request.error = _failure(error)
        raise


def _ask(batch: list[PredictionRequest], limit: int | None) -> None:
    first = batch[0]
    observations, contexts = first.observations, first.contexts
    if len(batch) > 1:
        observations = [each for request in batch for each in request.observations]
        contexts = [each for request in batch for each in request.contexts]
    # One request may hold more observations than the model computes at once.
    count = len(observations)
    size = min(limit or count, count)
    # As `EndsInChild`, without its two frames.
    process = forks.generation
    began = perf_counter()
    try:
        answers = first.caller.ask(observations[:size], contexts[:size], chunk=first.chunk)
        for begin in range(size, count, size):
            part = slice(begin, begin + size)
            answers += first.caller.ask(observations[part], contexts[part], chunk=first.chunk)
    except BaseException as error:
        if forks.generation != process:
            forks.end_process(error)
        raise
    if forks.generation != process:
        forks.end_process(None)
    seconds = perf_counter() - began
    place = 0
    for request in batch:
        count = len(request.observations)
        request.answers = answers[place : place + count]
        request.queue_seconds = began - request.asked
        request.model_seconds = seconds
        request.batch_size = size
        place += count


def _failure(error: BaseException) -> CallFailedError:
    if isinstance(error, Violation):
        return failed(
            session_pb2.ERROR_CODE_INVALID_ACTION,
            f"the model's answer was refused: {error.path}: {error.detail}",
            error,
        )
    return model_raised("the model", error)


def _fail(request: PredictionRequest, error: CallFailedError) -> None:
    request.error = error
    request.done.release()


def _full(waiting: int) -> CallFailedError:
    error = failed(
        session_pb2.ERROR_CODE_QUEUE_FULL,
        f"{waiting} requests wait for the model, as many as its server allows (queue_limit); ask "
        f"again later",
    )
    error.failure.queue_length = waiting
    return error
