"""Whole calls of a model, adapted: one value, a batch of them, a chunk, a batch of chunks."""

from __future__ import annotations

from typing import Any, Protocol

from rlmesh.adapters.histories import Histories, History
from rlmesh.codec.infos.packable_types import kind_of
from rlmesh.codec.infos.type_guards import is_mapping, is_row
from rlmesh.codec.slab.violations import Violation
from rlmesh.codec.vector.stacking import compile_stack, compile_unstack
from rlmesh.errors import InvalidActionError, InvalidArgumentError, InvalidObservationError
from rlmesh_api.contract import Space

__all__ = ["AdaptedValues", "Adapts", "check_prefix"]


class Adapts(Protocol):
    """What an `Adapter` has of which a model makes use."""

    env_observation_space: Space
    env_action_space: Space
    model_observation_space: Space
    model_action_space: Space
    remembers: bool
    adapts_actions: bool

    def history(self) -> History:
        """See `Adapter.history`."""
        ...

    def observation(self, value: Any, history: History | None = None) -> Any:
        """See `Adapter.observation`."""
        ...

    def action(self, value: Any) -> Any:
        """See `Adapter.action`."""
        ...


def check_prefix(adapter: Adapts, prefix: Any) -> None:
    """Refuses a prefix where no step turns the caller's actions back into those of the model."""
    if prefix is not None and adapter.adapts_actions:
        raise InvalidArgumentError(
            "a prefix cannot be offered where steps adapt the actions: no step turns an action of "
            "the environment back into one of the model; leave it out"
        )


class AdaptedValues:
    """Adapts what goes to a model and what comes from it, one call after the other.

    Args:
        adapter: What adapts one value.

    Attributes:
        adapter: As given.
    """

    def __init__(self, adapter: Adapts) -> None:
        self.adapter: Adapts = adapter
        self._histories = Histories(adapter.history) if adapter.remembers else None
        self._stack = compile_stack(adapter.model_observation_space)
        self._unstack = compile_unstack(adapter.env_observation_space)
        self._stack_actions = compile_stack(adapter.env_action_space)
        self._unstack_actions = compile_unstack(adapter.model_action_space)

    def observation(self, value: Any, context: Any = None) -> Any:
        """An observation of the environment as one for the model.

        Args:
            value: The observation.
            context: The context of the session that it is of, on which the history depends; None:
                the history is the caller's.

        Raises:
            InvalidObservationError: If it cannot be adapted.
        """
        if self._histories is None:
            return self.adapter.observation(value)
        [history] = self._histories.attempt(1, None if context is None else [context])
        return self.adapter.observation(value, history)

    def keep(self) -> None:
        """The call was answered: what it has shown becomes part of the episode."""
        if self._histories is not None:
            self._histories.keep()

    def begin(self) -> None:
        """An episode begins in every place of a batch."""
        if self._histories is not None:
            self._histories.clear()

    def observations(self, values: Any, contexts: Any = None) -> Any:
        """A batch of observations of the environment, stacked or in a list, as one for the model.

        Args:
            values: The observations.
            contexts: The context of each, as for `observation`.

        Raises:
            InvalidObservationError: If it is no such batch, or one cannot be adapted.
        """
        if kind_of(values) is list:
            parts: list[Any] = list(values)
        else:
            try:
                parts = self._unstack(values, _length(values))
            except Violation as error:
                raise InvalidObservationError(
                    f"the observations cannot be adapted: {error}"
                ) from error
        if not parts:
            raise InvalidObservationError(
                "a batch needs one observation or more, stacked or in a list, got none"
            )
        if self._histories is None:
            return self._stack([self.adapter.observation(each) for each in parts])
        histories = self._histories.attempt(len(parts), contexts)
        pairs = zip(parts, histories, strict=True)
        return self._stack([self.adapter.observation(each, history) for each, history in pairs])

    def chunk(self, values: Any) -> Any:
        """The actions of a chunk, or those for a batch, stacked for the environment.

        Raises:
            InvalidActionError: If they are no such stack, or one cannot be adapted.
        """
        return self._stack_actions([self.adapter.action(each) for each in self._parts(values)])

    def chunks(self, values: Any) -> Any:
        """The chunks for a batch of observations.

        Raises:
            InvalidActionError: If they are no such stack, or an action cannot be adapted.
        """
        return self._stack_actions([self.chunk(each) for each in self._parts(values)])

    def _parts(self, values: Any) -> list[Any]:
        try:
            return self._unstack_actions(values, _length(values))
        except Violation as error:
            raise InvalidActionError(f"the actions cannot be adapted: {error}") from error


def _length(values: Any) -> int:
    """How many values are stacked: the length of any leaf; 0 of what is no stack."""
    while True:
        if is_mapping(values) and values:
            values = next(iter(values.values()))
        elif is_row(values) and values and not isinstance(values[0], str):
            if isinstance(values, list):
                return len(values)
            values = values[0]
        else:
            try:
                return len(values)
            except TypeError:
                return 0
