"""A chunk that is being computed: at once, by a thread beside the caller, or by a served model."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from time import perf_counter
from typing import Any, Protocol

__all__ = ["Asking", "AtOnce", "Posting", "Reply", "Threading", "arguments_taken"]

_NOTICEABLE = 1e-3


class Reply:
    """A chunk, and for how long it was computed and awaited, in seconds."""

    __slots__ = ("chunk", "exact", "seconds", "waited")

    def __init__(self, chunk: Any, seconds: float, waited: float, *, exact: bool = True) -> None:
        self.chunk: Any = chunk
        self.seconds: float = seconds
        self.waited: float = waited
        # Whether `seconds` is how long it took, and not only the most that it can have taken.
        self.exact: bool = exact


class Asking(Protocol):
    """Asks a model for one chunk at a time. All methods are called on the caller's thread."""

    def ask(self, observation: Any, offers: dict[str, Any]) -> None:
        """Asks for a chunk. None must be on its way."""

    def ready(self) -> bool:
        """Whether the chunk on its way may be taken, or has been given up."""
        ...

    def take(self) -> Reply:
        """Waits for the chunk that was asked for.

        Raises:
            BaseException: What the model raises, or what interrupts the waiting.
        """
        ...

    def reset(self, reset: Callable[[], Any]) -> None:
        """Resets the model, where no chunk is on its way."""

    def close(self) -> None:
        """Ends the thread, if there is one."""


class AtOnce:
    """Computes a chunk when it is taken, on the caller's thread."""

    def __init__(self, predict_chunk: Callable[..., Any]) -> None:
        self._predict_chunk = predict_chunk
        self._given: tuple[Any, dict[str, Any]] | None = None

    def ask(self, observation: Any, offers: dict[str, Any]) -> None:
        """Keeps the observation."""
        self._given = (observation, offers)

    def ready(self) -> bool:
        """Always: whatever was kept is given up by the next."""
        return True

    def take(self) -> Reply:
        """Computes the chunk."""
        observation, offers = self._given or (None, {})
        self._given = None
        begin = perf_counter()
        chunk = self._predict_chunk(observation, **offers)
        seconds = perf_counter() - begin
        return Reply(chunk, seconds, seconds)

    def reset(self, reset: Callable[[], Any]) -> None:
        """Resets the model on the caller's thread."""
        self._given = None
        reset()

    def close(self) -> None:
        """Does nothing: there is no thread."""


class Threading:
    """Computes chunks on one thread, on which the model is reset too."""

    def __init__(self, predict_chunk: Callable[..., Any]) -> None:
        self._predict_chunk = predict_chunk
        self._thread = ThreadPoolExecutor(1, "rlmesh-chunks")
        self._future: Future[tuple[Any, float]] | None = None

    def ask(self, observation: Any, offers: dict[str, Any]) -> None:
        """Has the thread begin; the caller may write on the observation afterwards."""
        self._future = self._thread.submit(self._timed, copy.deepcopy(observation), offers)

    def ready(self) -> bool:
        """Whether the thread is done."""
        return self._future is None or self._future.done()

    def take(self) -> Reply:
        """Waits for the thread."""
        future = self._future
        if future is None:
            raise RuntimeError("no chunk is on its way")
        begin = perf_counter()
        try:
            chunk, seconds = future.result()
        finally:
            # Ctrl-C ends the waiting, and the thread goes on.
            if future.done():
                self._future = None
        return Reply(chunk, seconds, min(perf_counter() - begin, seconds))

    def reset(self, reset: Callable[[], Any]) -> None:
        """Resets the model on the thread that computes."""
        self._thread.submit(reset).result()

    def close(self) -> None:
        """Ends the thread, after what it computes."""
        self._thread.shutdown(cancel_futures=True)

    def _timed(self, observation: Any, offers: dict[str, Any]) -> tuple[Any, float]:
        begin = perf_counter()
        chunk = self._predict_chunk(observation, **offers)
        return chunk, perf_counter() - begin


class Posting:
    """Has a served model compute: a request is sent, and its answer read when it is needed."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._posted: float | None = None

    def ask(self, observation: Any, offers: dict[str, Any]) -> None:
        """Sends the observation."""
        self._model.post(observation, chunk=True, **offers)
        self._posted = perf_counter()

    def ready(self) -> bool:
        """Whether nothing is on its way; whether the answer has come is not known before."""
        return self._posted is None

    def take(self) -> Reply:
        """Reads the answer."""
        posted, begin = self._posted or perf_counter(), perf_counter()
        self._posted = None
        chunk = self._model.take()
        end = perf_counter()
        return Reply(chunk, end - posted, end - begin, exact=end - begin > _NOTICEABLE)

    def reset(self, reset: Callable[[], Any]) -> None:
        """Resets the model's session."""
        reset()

    def close(self) -> None:
        """Does nothing: the session is the caller's."""


def arguments_taken(method: Any, *names: str) -> frozenset[str]:
    """Which of these names a method has as parameters that can be given by name."""
    try:
        parameters = inspect.signature(method).parameters.values()
    except (TypeError, ValueError):  # a callable of another language says nothing
        return frozenset()
    if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters):
        return frozenset(names)
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return frozenset(each.name for each in parameters if each.name in names and each.kind in kinds)
