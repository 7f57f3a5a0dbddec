"""Steps that change which spaces stand where: keys, parts, stacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rlmesh.adapters.boxes import Array, Compiled, bounds, box, plain_box, spaces_differ
from rlmesh.adapters.faults import StepFault, brief
from rlmesh.spaces.containers import Dict
from rlmesh_api.contract import (
    BoxSpace,
    ConcatenateOperation,
    DictSpace,
    ExtractOperation,
    RenameOperation,
    SelectOperation,
    Space,
    SplitOperation,
    StackOperation,
    WrapOperation,
)

__all__ = [
    "compile_concatenate",
    "compile_extract",
    "compile_rename",
    "compile_select",
    "compile_split",
    "compile_stack",
    "compile_wrap",
    "entries_of",
]


def entries_of(space: Space, *keys: str) -> dict[str, Space]:
    """The spaces of a Dict by key.

    Args:
        space: The space.
        *keys: The keys that it must have.

    Raises:
        StepFault: If it is no Dict, or lacks one.
    """
    if not isinstance(space, DictSpace):
        raise StepFault("a Dict", brief(space))
    entries = {entry.key: entry.space for entry in space.entries}
    for key in keys:
        if key not in entries:
            raise StepFault(f"a Dict with the key {key!r}", f"the keys {list(entries)}")
    return entries


def compile_rename(operation: RenameOperation, space: Space) -> Compiled:
    """Compiles what gives keys other names."""
    names = {pair.old: pair.new for pair in operation.names}
    entries = entries_of(space, *names)
    _check_once("names", [pair.old for pair in operation.names])
    order = [(key, names.get(key, key)) for key in entries]
    renamed = [new for _, new in order]
    for new in renamed:
        if renamed.count(new) > 1:
            raise StepFault("new names that no other key has", repr(new))
    return (
        Dict([(new, entries[old]) for old, new in order]),
        lambda value: {new: value[old] for old, new in order},
    )


def compile_select(operation: SelectOperation, space: Space) -> Compiled:
    """Compiles what keeps some keys."""
    keys = operation.keys
    entries = entries_of(space, *keys)
    _check_once("keys", keys)
    return Dict([(key, entries[key]) for key in keys]), lambda value: {
        key: value[key] for key in keys
    }


def compile_extract(operation: ExtractOperation, space: Space) -> Compiled:
    """Compiles what replaces a Dict by one of its values."""
    key = operation.key
    return entries_of(space, key)[key], lambda value: value[key]


def compile_wrap(operation: WrapOperation, space: Space) -> Compiled:
    """Compiles what puts a value into a Dict."""
    key = operation.key
    return Dict([(key, space)]), lambda value: {key: value}


def compile_concatenate(operation: ConcatenateOperation, space: Space) -> Compiled:
    """Compiles what joins arrays along an axis."""
    axis = _axis(operation.axis)
    parts = _parts(operation.keys, space)
    spaces_differ(parts, axis)
    low, high = zip(*(bounds(part) for _, part in parts), strict=True)
    joined = box(np.concatenate(low, axis), np.concatenate(high, axis))
    return _gathered(
        space, operation.keys, operation.into, joined, lambda arrays: np.concatenate(arrays, axis)
    )


def compile_stack(operation: StackOperation, space: Space) -> Compiled:
    """Compiles what stacks arrays along a new axis."""
    axis = _axis(operation.axis)
    parts = _parts(operation.keys, space)
    spaces_differ(parts, None)
    if len(parts[0][1].shape) + 1 < -axis:
        raise StepFault(f"an axis from {-len(parts[0][1].shape) - 1} to -1 as `axis`", axis)
    low, high = zip(*(bounds(part) for _, part in parts), strict=True)
    stacked = box(np.stack(low, axis), np.stack(high, axis))
    return _gathered(
        space, operation.keys, operation.into, stacked, lambda arrays: np.stack(arrays, axis)
    )


def compile_split(operation: SplitOperation, space: Space) -> Compiled:
    """Compiles what takes an array apart."""
    key = operation.key
    whole = plain_box(space if key is None else entries_of(space, key)[key])
    axis = _axis(operation.axis)
    names = [part.key for part in operation.parts]
    _check_once("parts", names)
    sizes = [part.size for part in operation.parts]
    if len(whole.shape) < -axis:
        raise StepFault(f"an array of {-axis} or more axes", brief(whole))
    if not sizes or 0 in sizes or sum(sizes) != whole.shape[axis]:
        raise StepFault(
            f"parts of 1 or more places, {whole.shape[axis]} together, as the array has",
            dict(zip(names, sizes, strict=True)),
        )
    cuts = np.cumsum(sizes)[:-1].tolist()
    low, high = (np.split(each, cuts, axis) for each in bounds(whole))
    parts: list[tuple[str, Space]] = [(name, box(low[i], high[i])) for i, name in enumerate(names)]

    def taken_apart(array: Any) -> dict[str, Any]:
        return dict(zip(names, np.split(array, cuts, axis), strict=True))

    if key is None:
        return Dict(parts), taken_apart
    kept = [(name, each) for name, each in entries_of(space).items() if name != key]
    _check_once("parts", [name for name, _ in kept + parts])
    others = [name for name, _ in kept]
    return Dict(kept + parts), lambda value: {
        **{name: value[name] for name in others},
        **taken_apart(value[key]),
    }


def _gathered(
    space: Space,
    keys: tuple[str, ...],
    into: str | None,
    result: BoxSpace,
    join: Callable[[list[Array]], Array],
) -> Compiled:
    """What replaces the arrays of some keys by one array."""
    entries = entries_of(space)
    others = [key for key in entries if key not in keys]
    if into is None:
        if others:
            raise StepFault("all keys of the Dict, or `into`", f"the other keys {others}")
        return result, lambda value: join([value[key] for key in keys])
    if into in others:
        raise StepFault("a new key, or one of `keys`, as `into`", repr(into))
    return (
        Dict([*((key, entries[key]) for key in others), (into, result)]),
        lambda value: {
            **{key: value[key] for key in others},
            into: join([value[key] for key in keys]),
        },
    )


def _parts(keys: tuple[str, ...], space: Space) -> list[tuple[str, BoxSpace]]:
    entries = entries_of(space, *keys)
    if not keys:
        raise StepFault("one key or more as `keys`", "none")
    _check_once("keys", keys)
    parts: list[tuple[str, BoxSpace]] = []
    for key in keys:
        part = entries[key]
        if not isinstance(part, BoxSpace):
            raise StepFault("a Box", brief(part), (key,))
        parts.append((key, part))
    return parts


def _axis(axis: int) -> int:
    if axis >= 0:
        raise StepFault("an axis counted from the end, -1 or less, as `axis`", axis)
    return axis


def _check_once(what: str, keys: Sequence[str]) -> None:
    for key in keys:
        if list(keys).count(key) > 1:
            raise StepFault(f"each key once in `{what}`", f"{key!r} repeatedly")
