"""A model behind an adapter: it takes the observations of an environment and gives its actions."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable
from typing import Any, Protocol

from rlmesh.codec.infos.type_guards import is_mapping, is_row
from rlmesh.codec.vector.stacking import compile_stack, compile_unstack
from rlmesh_api.contract import Space

__all__ = ["AdaptedModel"]


class _Adapts(Protocol):
    """What an `Adapter` has of which a model makes use."""

    env_observation_space: Space
    env_action_space: Space
    model_observation_space: Space
    model_action_space: Space

    def observation(self, value: Any) -> Any: ...

    def action(self, value: Any) -> Any: ...


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

    def __init__(self, adapter: _Adapts, model: Any) -> None:
        self.adapter: _Adapts = adapter
        self.model: Any = model
        self.observation_space: Space = adapter.env_observation_space
        self.action_space: Space = adapter.env_action_space
        self._posted_chunk = False
        self._stack = compile_stack(adapter.model_observation_space)
        self._unstack = compile_unstack(adapter.env_observation_space)
        self._stack_actions = compile_stack(adapter.env_action_space)
        self._unstack_actions = compile_unstack(adapter.model_action_space)

    @property
    def horizon(self) -> int:
        """How many actions a chunk holds."""
        found = getattr(self.model, "horizon", None)
        horizon: int = self.model.model_contract.horizon if found is None else found
        return horizon

    def __getattr__(self, name: str) -> Any:
        # Only what is not found otherwise comes here. A model keeps the methods that it lacks, and
        # its contract is not one of these spaces.
        if name.startswith("__") or name in {"model", "model_contract"}:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        found = getattr(self.model, name)
        if name in {"post", "take"}:
            return self._post if name == "post" else self._take
        wrapped = _METHODS.get(name)
        return found if wrapped is None else _wrapped(self, found, *wrapped)

    def __call__(self, observation: Any, *args: Any, **kwargs: Any) -> Any:
        """The action for an observation, where the model is callable."""
        given = self.adapter.observation(observation)
        return self.adapter.action(self.model(given, *args, **kwargs))

    def _take(self) -> Any:
        answer = self.model.take()
        return self._chunk_out(answer) if self._posted_chunk else self.adapter.action(answer)

    def _post(self, observation: Any, *, chunk: bool = False, delay: int = 0) -> None:
        offers = {"delay": delay} if delay else {}
        self.model.post(self.adapter.observation(observation), chunk=chunk, **offers)
        self._posted_chunk = chunk

    def _batch_in(self, values: Any) -> Any:
        adapter, stacked = self.adapter, self._unstack(values, _length(values))
        return self._stack([adapter.observation(each) for each in stacked])

    def _chunk_out(self, values: Any) -> Any:
        adapter, actions = self.adapter, self._unstack_actions(values, _length(values))
        return self._stack_actions([adapter.action(each) for each in actions])

    def _chunks_out(self, values: Any) -> Any:
        chunks = self._unstack_actions(values, _length(values))
        return self._stack_actions([self._chunk_out(each) for each in chunks])


def _length(values: Any) -> int:
    """How many values are stacked: the length of any leaf."""
    while True:
        if is_mapping(values) and values:
            values = next(iter(values.values()))
        elif is_row(values) and values and not isinstance(values[0], str):
            if isinstance(values, list):
                return len(values)
            values = values[0]
        else:
            return len(values)


def _wrapped(
    owner: AdaptedModel, method: Callable[..., Any], way_in: str | None, way_out: str | None
) -> Callable[..., Any]:
    """A method that adapts what it is given and what it returns; its signature stays."""
    into = owner.adapter.observation if way_in is None else getattr(owner, way_in)
    out = owner.adapter.action if way_out is None else getattr(owner, way_out)

    @functools.wraps(method)
    def call(observation: Any, *args: Any, **kwargs: Any) -> Any:
        return out(method(into(observation), *args, **kwargs))

    # What `rlmesh.Chunks` offers as `prefix` are actions of the environment, which no step turns
    # back into those of the model.
    with contextlib.suppress(TypeError, ValueError):  # a callable of another language has none
        signature = inspect.signature(method)
        kept = [each for name, each in signature.parameters.items() if name != "prefix"]
        call.__signature__ = signature.replace(parameters=kept)  # type: ignore[attr-defined] # inspect reads it

    return call


# How each method of a model takes observations and gives actions; None stands for one of them.
_METHODS: dict[str, tuple[str | None, str | None]] = {
    "predict": (None, None),
    "predict_batch": ("_batch_in", "_chunk_out"),
    "predict_chunk": (None, "_chunk_out"),
    "predict_chunk_batch": ("_batch_in", "_chunks_out"),
}
