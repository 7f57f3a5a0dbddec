"""The results of several steps, stacked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from rlmesh_api.contract import DictSpace, Space, TextSpace, TupleSpace

Stack: TypeAlias = Callable[[Sequence[Any]], Any]
"""Stacks observations along a new first axis."""


class Transitions(NamedTuple):
    """The results of the steps of `step_many`, in order.

    Attributes:
        observations: Observations, stacked along a new first axis of `steps`: of a Box an array of
            shape `(steps, *shape)`; of a Dict or Tuple the container of such; of a Text a tuple. Of
            a vector environment the sub-environments are the second axis.
        rewards: float64, shape `(steps,)`; of a vector environment `(steps, num_envs)`.
        terminations: bool, likewise.
        truncations: bool, likewise.
        infos: The info of each step.
    """

    observations: Any
    rewards: npt.NDArray[np.float64]
    terminations: npt.NDArray[np.bool_]
    truncations: npt.NDArray[np.bool_]
    infos: list[dict[str, Any]]


def compile_stack(space: Space) -> Stack:
    """Compiles what stacks the observations of a space."""
    if isinstance(space, DictSpace):
        entries = [(entry.key, compile_stack(entry.space)) for entry in space.entries]
        return lambda values: {
            key: stack([value[key] for value in values]) for key, stack in entries
        }
    if isinstance(space, TupleSpace):
        stacks = [compile_stack(child) for child in space.spaces]
        return lambda values: tuple(
            stack([value[index] for value in values]) for index, stack in enumerate(stacks)
        )
    return tuple if isinstance(space, TextSpace) else np.stack
