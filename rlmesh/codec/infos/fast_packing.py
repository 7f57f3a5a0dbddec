"""Packs what needs no tree: values of plain types, which MessagePack's own packer goes through.

Nearly every info is one. A look at each container finds what needs `Degrader`: other types and
keys, large arrays, depth, and so many elements that it may be a cycle or a graph that unrolls.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from msgpack import Packer

from rlmesh.codec.infos.degradation import PackingLimits
from rlmesh.codec.infos.msgpack_writer import extension
from rlmesh.codec.infos.packable_types import LEAVES, kind_of
from rlmesh.codec.infos.packed_arrays import SCALAR_WRITERS, SMALL, array_parts
from rlmesh.compiled import step as compiled
from rlmesh_api.v1 import value_pb2

__all__ = ["PLAIN", "is_plain", "packed_quickly"]

_ARRAY: Final = int(value_pb2.PACKED_EXTENSION_ARRAY)
_SCALAR: Final = int(value_pb2.PACKED_EXTENSION_SCALAR)
_TUPLE: Final = extension(value_pb2.PACKED_EXTENSION_TUPLE, b"")
# A cycle, or a graph that unrolls into a tree without end, has more.
_MOST_ELEMENTS: Final = 2**16
# More items are looked at faster in one go, which finds only whether all are plain.
_FEW: Final = 16
_CONTAINERS: Final = frozenset([dict, list, tuple])
_TEXT: Final = frozenset([str])
PLAIN: Final = LEAVES.union(SCALAR_WRITERS)
"""The types of values without parts that the packer writes."""


class _NotQuickError(Exception):
    """A value that the packer cannot write by itself."""


def packed_quickly(value: object, limits: PackingLimits) -> bytes | None:
    """Packs a container of plain values; None where it holds anything else.

    Args:
        value: Anything.
        limits: What it may be at most.
    """
    try:
        if not _is_plain(value, limits.max_depth, _MOST_ELEMENTS, PLAIN, np.ndarray, SMALL):
            return None
        data: bytes = Packer(strict_types=True, default=_written).pack(value)
    except Exception:  # noqa: BLE001 - types that cannot be hashed, dtypes without a form, ...
        return None
    return data if len(data) <= limits.max_bytes else None


def is_plain(
    value: Any,
    depth: int,
    left: int,
    plain: frozenset[type[Any]],
    array: type[Any],
    small: int,
    /,
) -> bool:
    """Whether a value is a container of plain values.

    Args:
        value: Anything.
        depth: How many containers inside of each other there may be.
        left: How many elements there may be.
        plain: The types of values without parts.
        array: The type of arrays.
        small: From how many bytes on an array is not plain.

    Raises:
        Exception: What the hash of a type raises.
    """
    if kind_of(value) not in _CONTAINERS:
        return False
    try:
        _look(value, depth, left, plain, array, small)
    except _NotQuickError:
        return False
    return True


_is_plain: Final = is_plain if compiled is None else compiled.is_plain


def _look(
    container: Any, depth: int, left: int, plain: frozenset[type[Any]], array: type[Any], small: int
) -> int:
    """Looks for what is not plain in a dict, list or tuple; how many elements may come after it.

    Raises:
        _NotQuickError: If it is not to be packed quickly.
    """
    left -= len(container)
    if left < 0 or depth <= 0:
        raise _NotQuickError
    items: Any = container
    if kind_of(container) is dict:
        if not _TEXT.issuperset(map(type, container)):
            raise _NotQuickError
        items = container.values()
    if len(container) > _FEW and plain.issuperset(map(type, items)):
        return left
    for item in items:
        kind = kind_of(item)
        if kind in plain:
            continue
        if kind in _CONTAINERS:
            left = _look(item, depth - 1, left, plain, array, small)
        elif kind is not array or item.nbytes >= small or item.dtype.hasobject:
            raise _NotQuickError
    return left


def _written(value: Any) -> object:
    """What MessagePack's packer writes for a value that it does not know."""
    kind = kind_of(value)
    if kind is np.ndarray:
        return extension(_ARRAY, b"".join(array_parts(value)))
    write = SCALAR_WRITERS.get(kind)
    if write is not None:
        return extension(_SCALAR, write(value))
    if kind is tuple:
        return [_TUPLE, *value]
    raise _NotQuickError
