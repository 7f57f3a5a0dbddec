"""Splits values of vector environments by sub-environment, and joins them again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from rlmesh.codec.infos.type_guards import is_mapping, is_row
from rlmesh.codec.slab.violations import Violation, typename
from rlmesh_api.contract import DictSpace, Space, TextSpace, TupleSpace

__all__ = ["Join", "Part", "compile_join", "compile_part"]

Part: TypeAlias = Callable[[Any, int, int], Any]
"""The part of a batched value from one sub-environment up to another; raises `Violation`."""

Join: TypeAlias = Callable[[Sequence[Any]], Any]
"""The batched value whose parts, sub-environment after sub-environment, these are."""


def compile_part(space: Space, num_envs: int, path: str = "$") -> Part:
    """Compiles what gives the parts of batched values of a space.

    Args:
        space: The space of one sub-environment.
        num_envs: How many sub-environments the whole has.
        path: Where the space stands, for messages.
    """
    if isinstance(space, DictSpace):
        entries = [
            (entry.key, compile_part(entry.space, num_envs, f"{path}.{entry.key}"))
            for entry in space.entries
        ]

        def part_of_dict(value: Any, start: int, stop: int) -> Any:
            if not is_mapping(value) or set(value) != {key for key, _ in entries}:
                keys = ", ".join(repr(key) for key, _ in entries)
                raise Violation("structure", path, None, f"expected a dict with the keys {keys}")
            return {key: part(value[key], start, stop) for key, part in entries}

        return part_of_dict
    if isinstance(space, TupleSpace):
        parts = [
            compile_part(child, num_envs, f"{path}[{place}]")
            for place, child in enumerate(space.spaces)
        ]

        def part_of_tuple(value: Any, start: int, stop: int) -> Any:
            if not is_row(value) or len(value) != len(parts):
                raise Violation("structure", path, None, f"expected a tuple of {len(parts)}")
            return tuple(part(one, start, stop) for part, one in zip(parts, value, strict=True))

        return part_of_tuple

    def part_of_leaf(value: Any, start: int, stop: int) -> Any:
        try:
            count = len(value)
        except TypeError:
            raise Violation(
                "structure",
                path,
                None,
                f"expected {num_envs} sub-environments, got {typename(value)}",
            ) from None
        if count != num_envs:
            raise Violation(
                "shape", path, None, f"expected {num_envs} sub-environments, got {count}"
            )
        return value[start:stop]

    return part_of_leaf


def compile_join(space: Space) -> Join:
    """Compiles what puts batched values of a space together.

    Args:
        space: The space of one sub-environment.
    """
    if isinstance(space, DictSpace):
        entries = [(entry.key, compile_join(entry.space)) for entry in space.entries]
        return lambda values: {key: join([value[key] for value in values]) for key, join in entries}
    if isinstance(space, TupleSpace):
        joins = [compile_join(child) for child in space.spaces]
        return lambda values: tuple(
            join([value[place] for value in values]) for place, join in enumerate(joins)
        )
    if isinstance(space, TextSpace):
        return lambda values: tuple(text for value in values for text in value)
    return np.concatenate
