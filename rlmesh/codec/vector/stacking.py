"""Stacks values of a space along a new first axis, and takes such a stack apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from rlmesh.codec.infos.type_guards import is_mapping, is_row
from rlmesh.codec.slab.violations import Violation, typename
from rlmesh.spaces.paths import ROOT, child_place
from rlmesh_api.contract import (
    BoxSpace,
    DictSpace,
    MultiBinarySpace,
    MultiDiscreteSpace,
    Space,
    TextSpace,
    TupleSpace,
)

__all__ = ["Stack", "Unstack", "compile_checked_stack", "compile_stack", "compile_unstack"]

Stack: TypeAlias = Callable[[Sequence[Any]], Any]
"""Stacks values along a new first axis."""

Unstack: TypeAlias = Callable[[Any, int], list[Any]]
"""The values of a stack of so many; raises `Violation` where it is no such stack."""


def compile_stack(space: Space) -> Stack:
    """Compiles what stacks the values of a space: of a Text in a tuple, as Gymnasium does."""
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


def compile_checked_stack(space: Space, path: str = ROOT) -> Stack:
    """As `compile_stack`, for values of a user: raises `Violation` where one has another form."""
    if isinstance(space, DictSpace):
        entries = [
            (entry.key, compile_checked_stack(entry.space, child_place(path, entry.key)))
            for entry in space.entries
        ]
        return _compile_checked_dicts(entries, path)
    if isinstance(space, TupleSpace):
        parts = [
            compile_checked_stack(child, child_place(path, index))
            for index, child in enumerate(space.spaces)
        ]
        return _compile_checked_tuples(parts, path)
    if isinstance(space, TextSpace):
        return tuple
    shape: tuple[int, ...] = ()
    if isinstance(space, BoxSpace | MultiBinarySpace | MultiDiscreteSpace):
        shape = space.shape

    def stack(values: Sequence[Any]) -> Any:
        try:
            return np.stack(values)
        except (TypeError, ValueError):
            for index, value in enumerate(values):
                got = _form_of(value)
                if got != f"the shape {shape}":
                    detail = f"expected the shape {shape}, got {got}"
                    raise Violation("shape", path, index, detail) from None
            raise

    return stack


def _form_of(value: Any) -> str:
    try:
        return f"the shape {np.shape(value)}"
    except ValueError:
        return "rows of several lengths"


def _compile_checked_dicts(entries: list[tuple[str, Stack]], path: str) -> Stack:
    keys = {key for key, _ in entries}

    def stack(values: Sequence[Any]) -> Any:
        for index, value in enumerate(values):
            if not is_mapping(value) or value.keys() != keys:
                got = sorted(map(repr, value)) if is_mapping(value) else typename(value)
                detail = f"expected a dict with the keys {sorted(keys)}, got {got}"
                raise Violation("structure", path, index, detail)
        return {key: part([value[key] for value in values]) for key, part in entries}

    return stack


def _compile_checked_tuples(parts: list[Stack], path: str) -> Stack:
    def stack(values: Sequence[Any]) -> Any:
        for index, value in enumerate(values):
            if not is_row(value) or len(value) != len(parts):
                got = len(value) if is_row(value) else typename(value)
                detail = f"expected a tuple of {len(parts)}, got {got}"
                raise Violation("structure", path, index, detail)
        return tuple(part([value[i] for value in values]) for i, part in enumerate(parts))

    return stack


def compile_unstack(space: Space, path: str = ROOT) -> Unstack:
    """Compiles what takes a stack of values of a space apart."""
    if isinstance(space, DictSpace):
        entries = [
            (entry.key, compile_unstack(entry.space, child_place(path, entry.key)))
            for entry in space.entries
        ]
        return _compile_unstack_dict(entries, path)
    if isinstance(space, TupleSpace):
        parts = [
            compile_unstack(child, child_place(path, index))
            for index, child in enumerate(space.spaces)
        ]
        return _compile_unstack_tuple(parts, path)

    def unstack(value: Any, count: int) -> list[Any]:
        try:
            found = len(value)
        except TypeError:
            raise Violation(
                "shape", path, None, f"expected {count} values, got one {typename(value)}"
            ) from None
        if found != count or isinstance(value, str | bytes):
            raise Violation("shape", path, None, f"expected {count} values, got {found}")
        return list(value)

    return unstack


def _compile_unstack_dict(entries: list[tuple[str, Unstack]], path: str) -> Unstack:
    keys = {key for key, _ in entries}

    def unstack(value: Any, count: int) -> list[Any]:
        if not is_mapping(value) or value.keys() != keys:
            got = sorted(map(repr, value)) if is_mapping(value) else typename(value)
            raise Violation(
                "structure", path, None, f"expected a dict with the keys {sorted(keys)}, got {got}"
            )
        columns = [part(value[key], count) for key, part in entries]
        names = [key for key, _ in entries]
        if not columns:
            return [{} for _ in range(count)]
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]

    return unstack


def _compile_unstack_tuple(parts: list[Unstack], path: str) -> Unstack:
    def unstack(value: Any, count: int) -> list[Any]:
        if not is_row(value) or len(value) != len(parts):
            got = len(value) if is_row(value) else typename(value)
            raise Violation("structure", path, None, f"expected a tuple of {len(parts)}, got {got}")
        columns = [part(each, count) for part, each in zip(parts, value, strict=True)]
        if not columns:
            return [() for _ in range(count)]
        return list(zip(*columns, strict=True))

    return unstack
