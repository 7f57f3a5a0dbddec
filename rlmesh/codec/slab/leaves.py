"""The leaves of a space: where each stands in the slab, with which dtype and shape.

A leaf is a space that holds no others. Leaves stand in declared order, depth first, each at the
next multiple of 8. A numeric leaf stands as an array, with the sub-environment axis first on a
vector endpoint; a text leaf as the lengths of its texts in bytes, which follow in the tail.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

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

__all__ = ["Leaf", "LeafSpace", "arrange", "children"]

LeafSpace: TypeAlias = BoxSpace | DiscreteSpace | MultiBinarySpace | MultiDiscreteSpace | TextSpace

_ALIGNMENT = 8
_LENGTH = np.dtype("<u4")
_CODES = {
    "b1": "?",
    "i1": "b",
    "i2": "h",
    "i4": "i",
    "i8": "q",
    "u1": "B",
    "u2": "H",
    "u4": "I",
    "u8": "Q",
    "f2": "e",
    "f4": "f",
    "f8": "d",
}


@dataclass(frozen=True, slots=True)
class Leaf:
    """One leaf of a space in the fixed part of a slab.

    Attributes:
        path: Its place in the tree, `$.arm[1]`.
        space: The space of one sub-environment.
        num_envs: The number of sub-environments, None for a single endpoint.
        offset: The byte at which it begins.
        dtype: The little-endian dtype in which it stands; of a text, that of its length.
        shape: The shape in which it stands, the sub-environment axis included.
        count: The number of elements.
        nbytes: The number of bytes.
    """

    path: str
    space: LeafSpace
    num_envs: int | None
    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    count: int
    nbytes: int

    @property
    def code(self) -> str:
        """The letter that `struct` has for an element."""
        return _CODES[self.dtype.str[1:]]

    @property
    def end(self) -> int:
        """The byte after it."""
        return self.offset + self.nbytes


def arrange(space: Space, num_envs: int | None) -> tuple[Leaf, ...]:
    """Places the leaves of a space.

    Args:
        space: The space of one sub-environment.
        num_envs: The number of sub-environments, None for a single endpoint.
    """
    axis = () if num_envs is None else (num_envs,)
    leaves: list[Leaf] = []
    end = 0
    for path, leaf in _leaf_spaces(space, ROOT):
        dtype, one = _element(leaf)
        shape = (*axis, *one)
        count = math.prod(shape)
        offset = -(-end // _ALIGNMENT) * _ALIGNMENT
        nbytes = count * dtype.itemsize
        leaves.append(Leaf(path, leaf, num_envs, offset, dtype, shape, count, nbytes))
        end = offset + nbytes
    return tuple(leaves)


def children(space: TupleSpace | DictSpace, path: str) -> list[tuple[str, Space]]:
    """The spaces inside of a container, each with its place."""
    if isinstance(space, TupleSpace):
        return [(child_place(path, index), child) for index, child in enumerate(space.spaces)]
    return [(child_place(path, entry.key), entry.space) for entry in space.entries]


def _leaf_spaces(space: Space, path: str) -> Iterator[tuple[str, LeafSpace]]:
    if isinstance(space, LeafSpace):
        yield path, space
    elif isinstance(space, TupleSpace | DictSpace):
        for place, child in children(space, path):
            yield from _leaf_spaces(child, place)
    else:
        raise TypeError(f"{path}: expected a space of RLMesh, got {space!r}")


def _element(space: LeafSpace) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Dtype and shape in which one sub-environment of a leaf stands."""
    if isinstance(space, TextSpace):
        return _LENGTH, ()
    if isinstance(space, MultiBinarySpace):
        return np.dtype(np.int8), space.shape
    dtype = _little_endian(space.dtype.value)
    return dtype, () if isinstance(space, DiscreteSpace) else space.shape


def _little_endian(name: str) -> np.dtype[Any]:
    """The little-endian dtype of a name: where the machine is, the very object of its arrays."""
    little: np.dtype[Any] = np.dtype(np.dtype(name).newbyteorder("<").str)
    return little
