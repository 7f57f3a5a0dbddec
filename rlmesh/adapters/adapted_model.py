"""A model behind an adapter: it takes the observations of an environment and gives its actions."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Collection
from typing import Any

from rlmesh.adapters.adapted_values import AdaptedValues, Adapts, check_prefix
from rlmesh.contract.model_reading import METHODS, takes_context
from rlmesh_api.contract import Space

__all__ = ["AdaptedModel"]


class AdaptedModel:
    """A model with the spaces of an environment; what it has no word for is the model's.

    Args:
        adapter: What adapts.
        model: The model, or a client of one.

    Attributes:
        adapter: What adapts.
        model: The model.
        observation_space: The space of the observations that it takes.
        action_space: The space of the actions that it gives.
    """

    def __init__(self, adapter: Adapts, model: Any) -> None:
        self.adapter: Adapts = adapter
        self.model: Any = model
        self.observation_space: Space = adapter.env_observation_space
        self.action_space: Space = adapter.env_action_space
        self._posted_chunk = False
        self._values = AdaptedValues(adapter)
        if adapter.remembers:
            self.keeps_state: bool = True

    @property
    def horizon(self) -> int:
        """How many actions a chunk holds."""
        found = getattr(self.model, "horizon", None)
        horizon: int = self.model.model_contract.horizon if found is None else found
        return horizon

    def __getattr__(self, name: str) -> Any:
        # Only what is not found otherwise comes here. The model's contract and the steps that it
        # brings are for its own spaces.
        if name.startswith("__") or name in {"model", "model_contract", "adaptation"}:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        if name == "reset" and self.adapter.remembers:
            return _resetting(self._values, getattr(self.model, "reset", None))
        if name == "predict" and _is_function(self.model):
            return _wrapped(self._values, self.model, "observation", None)
        found = getattr(self.model, name)
        if name in {"post", "take"}:
            return self._post if name == "post" else self._take
        wrapped = _METHODS.get(name)
        if wrapped is None or not callable(found):
            return found
        return _wrapped(self._values, found, *wrapped)

    def __call__(self, observation: Any, *args: Any, **kwargs: Any) -> Any:
        """The action for an observation, where the model is callable."""
        call = _wrapped(self._values, self.model, "observation", None)
        return call(observation, *args, **kwargs)

    def _take(self) -> Any:
        answer, values = self.model.take(), self._values
        action = values.chunk(answer) if self._posted_chunk else self.adapter.action(answer)
        values.keep()
        return action

    def _post(
        self, observation: Any, *, chunk: bool = False, prefix: Any = None, delay: int = 0
    ) -> None:
        check_prefix(self.adapter, prefix)
        offers = {} if prefix is None else {"prefix": prefix}
        if delay:
            offers["delay"] = delay
        self.model.post(self._values.observation(observation), chunk=chunk, **offers)
        self._posted_chunk = chunk


def _is_function(model: Any) -> bool:
    """Whether a model is called itself: it has none of the methods."""
    return callable(model) and not any(callable(getattr(model, name, None)) for name in METHODS)


def _wrapped(
    values: AdaptedValues, method: Callable[..., Any], way_in: str, way_out: str | None
) -> Callable[..., Any]:
    """A method that adapts what it is given and what it returns; its signature stays."""
    into = getattr(values, way_in)
    out = values.adapter.action if way_out is None else getattr(values, way_out)
    taken = takes_context(method)
    adds_context = taken is None and values.adapter.remembers

    def call(observation: Any, *args: Any, **kwargs: Any) -> Any:
        # Of a model in a worker the history is that of the session.
        context = kwargs.pop(_CONTEXT, None) if adds_context else kwargs.get(taken or "")
        actions = out(method(into(observation, context), *args, **kwargs))
        values.keep()
        return actions

    hidden = _PREFIXES if values.adapter.adapts_actions else ()
    return _signed(call, method, hidden, with_context=adds_context)


def _resetting(values: AdaptedValues, reset: Callable[..., Any] | None) -> Callable[..., Any]:
    """A `reset` that begins the histories of the caller; a session begins with a new context."""
    taken = None if reset is None else takes_context(reset)

    def call(*args: Any, **kwargs: Any) -> Any:
        context = kwargs.get(taken) if taken else kwargs.pop(_CONTEXT, None)
        found = None if reset is None else reset(*args, **kwargs)
        if context is None:
            values.begin()
        return found

    return _signed(call, reset or _nothing, with_context=taken is None)


def _nothing() -> None:
    """What a model without `reset` does at the beginning of an episode."""


def _signed(
    call: Callable[..., Any],
    method: Callable[..., Any],
    hidden: Collection[str] = (),
    *,
    with_context: bool,
) -> Callable[..., Any]:
    """A function with the name and the signature of a method, less what is hidden of it.

    It has a context where the method has none.
    """
    functools.update_wrapper(call, method)
    with contextlib.suppress(TypeError, ValueError):  # a callable of another language has none
        signature = inspect.signature(method)
        kept = [each for name, each in signature.parameters.items() if name not in hidden]
        if with_context:
            end = len(kept) - bool(kept and kept[-1].kind is inspect.Parameter.VAR_KEYWORD)
            kept.insert(
                end, inspect.Parameter(_CONTEXT, inspect.Parameter.KEYWORD_ONLY, default=None)
            )
        call.__signature__ = signature.replace(parameters=kept)  # type: ignore[attr-defined] # inspect reads it
    return call


_CONTEXT = "context"
# What `rlmesh.Chunks` offers are actions of the environment, which no step turns back into those of
# the model.
_PREFIXES = ("prefix", "prefixes")

# How each method of a model takes observations and gives actions; None stands for one of them.
_METHODS: dict[str, tuple[str, str | None]] = {
    "predict": ("observation", None),
    "predict_batch": ("observations", "chunk"),
    "predict_chunk": ("observation", "chunk"),
    "predict_chunk_batch": ("observations", "chunks"),
}
