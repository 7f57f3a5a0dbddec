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
from rlmesh_api.v1 import value_pb2

__all__ = ["packed_quickly"]

_ARRAY: Final = int(value_pb2.PACKED_EXTENSION_ARRAY)
_SCALAR: Final = int(value_pb2.PACKED_EXTENSION_SCALAR)
_TUPLE: Final = extension(value_pb2.PACKED_EXTENSION_TUPLE, b"")
# A cycle, or a graph that unrolls into a tree without end, has more.
_MOST_ELEMENTS: Final = 2**16
# More items are looked at faster in one go, which finds only whether all are plain.
_FEW: Final = 16


_CONTAINERS: Final = frozenset([dict, list, tuple])
_PLAIN: Final = LEAVES.union(SCALAR_WRITERS)


class _NotQuickError(Exception):
    """A value that the packer cannot write by itself."""


def packed_quickly(value: object, limits: PackingLimits) -> bytes | None:
    """Packs a container of plain values; None where it holds anything else.

    Args:
        value: Anything.
        limits: What it may be at most.
    """
    if kind_of(value) not in _CONTAINERS:
        return None
    try:
        _look(value, limits.max_depth, _MOST_ELEMENTS)
        data: bytes = Packer(strict_types=True, default=_written).pack(value)
    except Exception:  # noqa: BLE001 - types that cannot be hashed, dtypes without a form, ...
        return None
    return data if len(data) <= limits.max_bytes else None


def _look(container: Any, depth: int, left: int) -> int:
    """Looks for what is not plain in a container.

    Args:
        container: A dict, list or tuple.
        depth: How many containers inside of each other may still come, this one included.
        left: How many elements may still come.

    Returns:
        How many may come after its own.

    Raises:
        _NotQuickError: If it is not to be packed quickly. Or TypeError, if a key is no text.
    """
    left -= len(container)
    if left < 0 or depth <= 0:
        raise _NotQuickError
    items: Any = container
    if kind_of(container) is dict:
        # The fastest question whether all keys are texts.
        "".join(container)
        items = container.values()
    if len(container) > _FEW and _PLAIN.issuperset(map(type, items)):
        return left
    for item in items:
        kind = kind_of(item)
        if kind in _PLAIN:
            continue
        if kind in _CONTAINERS:
            left = _look(item, depth - 1, left)
        elif kind is not np.ndarray or item.nbytes >= SMALL or item.dtype.hasobject:
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
