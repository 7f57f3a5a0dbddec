"""A model behind an adapter: it takes the observations of an environment and gives its actions."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rlmesh.codec.vector.stacking import compile_stack, compile_unstack
from rlmesh_api.contract import Space

if TYPE_CHECKING:
    from rlmesh.adapters.adapter import Adapter

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

    def __init__(self, adapter: Adapter, model: Any) -> None:
        self.adapter = adapter
        self.model: Any = model
        self.observation_space: Space = adapter.env_observation_space
        self.action_space: Space = adapter.env_action_space
        self._stack = compile_stack(adapter.model_observation_space)
        self._unstack = compile_unstack(adapter.env_observation_space)
        self._stack_actions = compile_stack(adapter.env_action_space)
        self._unstack_actions = compile_unstack(adapter.model_action_space)

    def __getattr__(self, name: str) -> Any:
        # Only what is not found otherwise comes here, so a model keeps the methods that it lacks.
        found = getattr(self.__dict__["model"], name)
        wrapper = _WRAPPERS.get(name)
        return found if wrapper is None else wrapper(self, found)

    def __call__(self, observation: Any, *args: Any, **kwargs: Any) -> Any:
        """The action for an observation, where the model is callable."""
        return self.adapter.action(
            self.model(self.adapter.observation(observation), *args, **kwargs)
        )

    def many_observations(self, values: Any) -> Any:
        """Adapts a stack of observations."""
        adapter = self.adapter
        return self._stack([adapter.observation(each) for each in self._unstack(values, count(values))])

    def many_actions(self, values: Any) -> Any:
        """Adapts a stack of actions: those of a batch, or those of a chunk."""
        adapter = self.adapter
        actions = self._unstack_actions(values, count(values))
        return self._stack_actions([adapter.action(each) for each in actions])
