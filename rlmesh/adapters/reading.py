"""Values as their space declares them, before a step sees them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from rlmesh.codec.infos.type_guards import is_mapping, is_row
from rlmesh.codec.slab.violations import Violation, typename
from rlmesh.spaces.paths import ROOT, child_place
from rlmesh_api.contract import (
    BoxSpace,
    DictSpace,
    DiscreteSpace,
    MultiBinarySpace,
    MultiDiscreteSpace,
    Space,
    TextSpace,
    TupleSpace,
)

__all__ = ["Read", "compile_read"]

Read: TypeAlias = Callable[[Any], Any]
"""A value with the containers, the shapes and the dtypes of its space, the given one unchanged."""


def compile_read(space: Space, path: str = ROOT) -> Read:
    """Compiles what reads the values of a space.

    What it compiles raises `Violation` for another structure, shape or kind of element. Bounds are
    not checked.
    """
    match space:
        case DictSpace():
            entries = [
                (entry.key, compile_read(entry.space, child_place(path, entry.key)))
                for entry in space.entries
            ]
            return _read_dict(entries, path)
        case TupleSpace():
            parts = [
                compile_read(child, child_place(path, index))
                for index, child in enumerate(space.spaces)
            ]
            return _read_tuple(parts, path)
        case TextSpace():
            return _read_text(path)
        case BoxSpace() | MultiDiscreteSpace():
            return _read_array(np.dtype(space.dtype.value), space.shape, path)
        case MultiBinarySpace():
            return _read_array(np.dtype(np.int8), space.shape, path)
        case DiscreteSpace():
            read = _read_array(np.dtype(space.dtype.value), (), path)
            # A scalar of NumPy, as the codec gives.
            return lambda value: read(value)[()]
        case _:
            raise TypeError(f"expected a space of RLMesh, got {space!r}")


def _read_dict(entries: list[tuple[str, Read]], path: str) -> Read:
    keys = {key for key, _ in entries}

    def read(value: Any) -> Any:
        if not is_mapping(value) or value.keys() != keys:
            got = sorted(map(repr, value)) if is_mapping(value) else typename(value)
            raise Violation(
                "structure", path, None, f"expected a dict with the keys {sorted(keys)}, got {got}"
            )
        return {key: part(value[key]) for key, part in entries}

    return read


def _read_tuple(parts: list[Read], path: str) -> Read:
    def read(value: Any) -> Any:
        if not is_row(value) or len(value) != len(parts):
            got = len(value) if is_row(value) else typename(value)
            raise Violation("structure", path, None, f"expected a tuple of {len(parts)}, got {got}")
        return tuple(part(each) for part, each in zip(parts, value, strict=True))

    return read


def _read_text(path: str) -> Read:
    def read(value: Any) -> Any:
        if not isinstance(value, str):
            raise Violation("type", path, None, f"expected a text, got one {typename(value)}")
        return value

    return read


def _read_array(dtype: np.dtype[Any], shape: tuple[int, ...], path: str) -> Read:
    def read(value: Any) -> Any:
        try:
            array = np.asarray(value)
        except ValueError as error:
            raise Violation("shape", path, None, f"expected an array, got {error}") from error
        if array.shape != shape:
            detail = f"expected the shape {shape}, got {array.shape}"
            raise Violation("shape", path, None, detail)
        if array.dtype == dtype:
            return array
        if not np.can_cast(array.dtype, dtype, "same_kind"):
            raise Violation("type", path, None, f"expected {dtype}, got {array.dtype}")
        with np.errstate(over="ignore"):
            return array.astype(dtype)

    return read
