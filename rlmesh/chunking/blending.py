"""One action of several that were planned for the same step."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from rlmesh.codec.infos.type_guards import is_mapping
from rlmesh.errors import ArgumentTypeError, InvalidArgumentError
from rlmesh_api.contract import BoxSpace, DictSpace, Space, TupleSpace

__all__ = ["Blend", "read_blend"]

Blend: TypeAlias = Callable[[Sequence[Any]], Any]
"""The action for a step, of those that chunks have for it, the oldest first; two or more."""


def read_blend(blend: Any, space: Space | None) -> Blend | None:
    """The function that blends; None where the latest is taken.

    Args:
        blend: What the caller said.
        space: The action space, where the model has one.

    Raises:
        ArgumentTypeError: If it is neither a text nor callable.
        InvalidArgumentError: If it is an unknown word, or such actions have no average.
    """
    if blend == "latest":
        return None
    if blend == "average":
        if space is not None and not _is_of_floats(space):
            raise InvalidArgumentError(
                f"blend 'average' needs actions of floats, and the action space is {space}; take "
                f"'latest', or a function"
            )
        return _average
    if isinstance(blend, str):
        raise InvalidArgumentError(
            f"blend must be 'latest', 'average' or a function, got {reprlib.repr(blend)}"
        )
    if not callable(blend):
        raise ArgumentTypeError(
            f"blend must be 'latest', 'average' or a function, got {type(blend).__name__}"
        )
    function: Blend = blend
    return function


def _is_of_floats(space: Space) -> bool:
    if isinstance(space, DictSpace):
        return all(_is_of_floats(entry.space) for entry in space.entries)
    if isinstance(space, TupleSpace):
        return all(map(_is_of_floats, space.spaces))
    return isinstance(space, BoxSpace) and space.dtype.value.startswith("float")


def _average(actions: Sequence[Any]) -> Any:
    first = actions[0]
    if is_mapping(first):
        return {key: _average([action[key] for action in actions]) for key in first}
    if isinstance(first, tuple):
        return tuple(_average(parts) for parts in zip(*actions, strict=True))
    stacked = np.stack([np.asarray(action) for action in actions])
    if stacked.dtype.kind != "f":
        raise ArgumentTypeError(
            f"blend 'average' needs actions of floats, got {stacked.dtype}; take 'latest', or a "
            f"function"
        )
    return stacked.mean(axis=0, dtype=np.float64).astype(stacked.dtype)
