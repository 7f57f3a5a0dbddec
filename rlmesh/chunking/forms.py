"""The form of chunks: how one is taken apart into actions, and actions are stacked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeGuard

import numpy as np

from rlmesh.codec.infos.type_guards import is_array, is_mapping
from rlmesh.codec.slab.violations import Violation, typename
from rlmesh.codec.vector.stacking import compile_stack, compile_unstack
from rlmesh.spaces.paths import ROOT, child_place
from rlmesh_api.contract import Space

__all__ = ["Form", "form_of"]


class Form(NamedTuple):
    """How chunks are taken apart and put together.

    Attributes:
        unstack: The actions of a chunk that has so many; raises `Violation` where it has not, or
            where one is NaN.
        stack: Such a chunk.
    """

    unstack: Callable[[Any, int], list[Any]]
    stack: Callable[[Sequence[Any]], Any]


def form_of(space: Space | None) -> Form:
    """The form of the chunks of a space; of no space, what dicts, tuples and arrays say."""
    if space is None:
        return Form(_unstack, _stack)
    unstack = compile_unstack(space)

    def checked(chunk: Any, count: int) -> list[Any]:
        actions = unstack(chunk, count)
        _check_numbers(chunk, ROOT)
        return actions

    return Form(checked, compile_stack(space))


def _unstack(chunk: Any, count: int) -> list[Any]:
    _check_numbers(chunk, ROOT)
    return _parts(chunk, count, ROOT)


def _parts(chunk: Any, count: int, path: str) -> list[Any]:
    if is_mapping(chunk):
        columns = [_parts(chunk[key], count, child_place(path, key)) for key in chunk]
        return [dict(zip(chunk, row, strict=True)) for row in zip(*columns, strict=True)]
    if _is_tuple(chunk) and not any(isinstance(part, str) for part in chunk):
        columns = [_parts(part, count, child_place(path, i)) for i, part in enumerate(chunk)]
        return list(zip(*columns, strict=True))
    try:
        found = len(chunk)
    except TypeError:
        detail = f"expected {count} actions, got one {typename(chunk)}"
        raise Violation("shape", path, None, detail) from None
    if found != count:
        raise Violation("shape", path, None, f"expected {count} actions, got {found}")
    return list(chunk)


def _check_numbers(chunk: Any, path: str) -> None:
    if is_mapping(chunk):
        for key, part in chunk.items():
            _check_numbers(part, child_place(path, key))
    elif _is_tuple(chunk):
        for index, part in enumerate(chunk):
            _check_numbers(part, child_place(path, index))
    elif is_array(chunk) and chunk.dtype.kind == "f" and np.isnan(chunk).any():
        index = int(np.argwhere(np.isnan(chunk))[0][0])
        raise Violation("nan", path, None, f"expected numbers, got NaN in the action {index}")


def _stack(actions: Sequence[Any]) -> Any:
    first = actions[0]
    if is_mapping(first):
        return {key: _stack([action[key] for action in actions]) for key in first}
    if isinstance(first, tuple):
        return tuple(_stack(parts) for parts in zip(*actions, strict=True))
    return tuple(actions) if isinstance(first, str) else np.stack(actions)


def _is_tuple(value: object) -> TypeGuard[tuple[Any, ...]]:
    return isinstance(value, tuple)
