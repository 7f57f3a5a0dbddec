"""Makes of any object a tree of what can travel, and lists what did not arrive as it was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final, TypeAlias

import msgpack
import numpy as np
import numpy.typing as npt

from rlmesh.codec.infos.bounded_text import text_of
from rlmesh.codec.infos.degradation import Degradation, PackingLimits, Path, Position, Reason
from rlmesh.codec.infos.degraded_keys import Unsent, sent_keys
from rlmesh.codec.infos.foreign_arrays import foreign_array
from rlmesh.codec.infos.msgpack_writer import Segment, extension
from rlmesh.codec.infos.packable_types import (
    BASES,
    LEAVES,
    SCALARS,
    TEXTS,
    kind_of,
)
from rlmesh.codec.infos.packed_arrays import (
    SCALAR_WRITERS,
    SMALL,
    UnsupportedDtypeError,
    array_parts,
    pack_scalar,
)
from rlmesh_api.v1 import value_pb2

__all__ = ["Degrader", "TooLargeError"]

_ARRAY: Final = int(value_pb2.PACKED_EXTENSION_ARRAY)
_SCALAR: Final = int(value_pb2.PACKED_EXTENSION_SCALAR)
_TUPLE: Final = extension(value_pb2.PACKED_EXTENSION_TUPLE, b"")
_DICT: Final = extension(value_pb2.PACKED_EXTENSION_DICT, b"")
# What an element costs at least where sizes are counted: a header, a number, an ellipsis.
_ELEMENT_BYTES: Final = 24
# What a container costs at least: more than its header, so that a graph which a walk unrolls into
# a tree comes to an end in seconds.
_CONTAINER_BYTES: Final = 32
_ELLIPSIS: Final = "..."


class TooLargeError(ValueError):
    """The value as it is goes beyond the limit of size."""


_Walk: TypeAlias = "Callable[[Degrader, Any, int, Path], object]"


def _common_scalar(write: Callable[[Any], bytes]) -> _Walk:
    return lambda degrader, value, depth, path: extension(_SCALAR, write(value))


class Degrader:
    """Walks one value.

    Args:
        limits: What the value may be at most.
        fitting: Count the size of everything, and make texts of what does not fit. Otherwise only
            what may be large without memory behind it is counted (containers and arrays, because
            they may be shared), and a value that goes beyond raises `TooLargeError`.

    Attributes:
        degradation: What does not arrive as it was, in the order of the walk.
        segmented: Whether there are segments in the tree.
    """

    __slots__ = ("_around", "_fitting", "_left", "_limits", "degradation", "segmented")

    def __init__(self, limits: PackingLimits, *, fitting: bool) -> None:
        self.degradation: Degradation = Degradation()
        self.segmented: bool = False
        self._limits = limits
        self._fitting = fitting
        self._left = limits.max_bytes
        # The containers around the present value, by identity: these objects are alive.
        self._around: set[int] = set()

    def tree(self, value: object) -> object:
        """The tree of a value.

        Raises:
            TooLargeError: If the value is too large, and was not to be made fitting.
        """
        return self._value(value, 1, None)

    def _value(self, value: object, depth: int, path: Path) -> object:
        kind = kind_of(value)
        if kind in LEAVES:
            if self._fitting and not self._take(_leaf_bytes(value)):
                return self._degrade(value, path, "too large")
            return value
        walk = self._WALKS.get(kind)
        return walk(self, value, depth, path) if walk else self._other(value, depth, path)

    def _take(self, size: int) -> bool:
        """Takes bytes from what is left."""
        if size > self._left:
            if not self._fitting:
                raise TooLargeError
            return False
        self._left -= size
        return True

    def _degrade(self, value: object, path: Path, reason: Reason) -> str:
        """Lists a value that cannot travel, and gives the text that travels instead."""
        self.degradation.add(value, path, reason, self._limits.max_listed)
        text = text_of(value, self._limits.max_text)
        return text if self._take(4 * len(text)) else _ELLIPSIS

    def _refusal(self, value: object, length: int, depth: int) -> Reason | None:
        """Why a container cannot be entered."""
        if depth > self._limits.max_depth:
            return "too deep"
        if id(value) in self._around:
            return "cycle"
        cost = length * (_ELEMENT_BYTES if self._fitting else 1)
        if not self._take(_CONTAINER_BYTES + cost):
            return "too large"
        return None

    def _dict(self, value: dict[Any, Any], depth: int, path: Path) -> object:
        if reason := self._refusal(value, len(value), depth):
            return self._degrade(value, path, reason)
        if self._fitting and not self._take(sum(map(_leaf_bytes, value))):
            return self._degrade(value, path, "too large")
        if not TEXTS.issuperset(map(type, value)):
            return self._keyed(value, depth, path)
        if not self._fitting and LEAVES.issuperset(map(type, value.values())):
            return value
        self._around.add(id(value))
        tree = value.copy()
        for key, item in tree.items():
            if self._fitting or type(item) not in LEAVES:
                tree[key] = self._value(item, depth + 1, (path, key))
        self._around.discard(id(value))
        return tree

    def _keyed(self, value: dict[Any, Any], depth: int, path: Path) -> object:
        """A dict with other keys than str and bytes."""

        def degrade(key: object, reason: Unsent) -> str:
            return self._degrade(key, (path, key), reason)

        self._around.add(id(value))
        pairs = list(value.items())
        keys = sent_keys([key for key, _ in pairs], self._limits.max_depth - depth, degrade)
        items = [self._value(item, depth + 1, (path, key)) for key, item in pairs]
        self._around.discard(id(value))
        if TEXTS.issuperset(map(type, keys)):
            return dict(zip(keys, items, strict=True))
        tree: list[object] = [_DICT]
        for key, item in zip(keys, items, strict=True):
            tree += (_key_tree(key), item)
        return tree

    def _list(self, value: list[Any], depth: int, path: Path) -> object:
        if reason := self._refusal(value, len(value), depth):
            return self._degrade(value, path, reason)
        return self._items(value, value, depth, path)

    def _tuple(self, value: tuple[Any, ...], depth: int, path: Path) -> object:
        if reason := self._refusal(value, len(value), depth):
            return self._degrade(value, path, reason)
        return [_TUPLE, *self._items(value, value, depth, path)]

    def _object_array(self, value: npt.NDArray[Any], depth: int, path: Path) -> object:
        if reason := self._refusal(value, value.size, depth):
            return self._degrade(value, path, reason)
        axes = msgpack.packb(list(value.shape))
        marker = extension(value_pb2.PACKED_EXTENSION_OBJECT_ARRAY, axes)
        return [marker, *self._items(value, value.ravel().tolist(), depth, path, value.shape)]

    def _items(
        self,
        container: object,
        items: Sequence[Any],
        depth: int,
        path: Path,
        shape: tuple[int, ...] | None = None,
    ) -> Sequence[Any]:
        """The trees of a container's items. The shape is that of an array."""
        if not self._fitting and LEAVES.issuperset(map(type, items)):
            return items
        self._around.add(id(container))
        trees = list(items)
        for index, item in enumerate(trees):
            if self._fitting or type(item) not in LEAVES:
                step = index if shape is None else Position(index, shape)
                trees[index] = self._value(item, depth + 1, (path, step))
        self._around.discard(id(container))
        return trees

    def _array(self, value: npt.NDArray[Any], depth: int, path: Path) -> object:
        if value.dtype.kind == "O":
            return self._object_array(value, depth, path)
        if not self._take(value.nbytes):
            return self._degrade(value, path, "too large")
        try:
            header, elements = array_parts(value)
        except UnsupportedDtypeError:
            return self._degrade(value, path, "unsupported dtype")
        if depth <= 2 and value.nbytes >= SMALL:
            self.segmented = True
            return Segment(_ARRAY, len(header) + value.nbytes, header, elements)
        return extension(_ARRAY, b"".join((header, elements)))

    def _scalar(self, value: np.generic[Any], depth: int, path: Path) -> object:
        if self._fitting and not self._take(value.nbytes):
            return self._degrade(value, path, "too large")
        try:
            payload = pack_scalar(value)
        except UnsupportedDtypeError:
            return self._degrade(value, path, "unsupported dtype")
        return extension(_SCALAR, payload)

    def _buffer(self, value: memoryview, depth: int, path: Path) -> object:
        try:
            flat = value.ndim == 1 and value.itemsize == 1
        except ValueError:  # a released view
            flat = False
        if not flat:
            return self._degrade(value, path, "unsupported type")
        return self._value(bytes(value), depth, path)

    def _other(self, value: Any, depth: int, path: Path) -> object:
        """A value whose type is not in `_WALKS`: a subclass of one there, or a foreign type."""
        kind = kind_of(value)
        if issubclass(kind, np.ma.MaskedArray):
            return self._degrade(value, path, "unsupported type")
        if issubclass(kind, np.generic):
            return self._scalar(value, depth, path)
        # A member of an IntEnum or of an enum of texts is the value that it stands for.
        for base, plain in BASES:
            if issubclass(kind, base):
                return self._as_base(value, plain, depth, path)
        array = foreign_array(value)
        if array is not None:
            return self._as_base(value, lambda _: array, depth, path)
        return self._degrade(value, path, "unsupported type")

    def _as_base(
        self, value: object, plain: Callable[[Any], Any], depth: int, path: Path
    ) -> object:
        """A value of a subclass, as what it is a subclass of."""
        if id(value) in self._around:
            return self._degrade(value, path, "cycle")
        self._around.add(id(value))
        tree = self._value(plain(value), depth, path)
        self._around.discard(id(value))
        return tree

    _WALKS: ClassVar[dict[type, _Walk]] = {
        dict: _dict,
        list: _list,
        tuple: _tuple,
        np.ndarray: _array,
        memoryview: _buffer,
        **dict.fromkeys(SCALARS, _scalar),
        **{kind: _common_scalar(write) for kind, write in SCALAR_WRITERS.items()},
    }


def _key_tree(key: Any) -> object:
    """A key of those that `sent_keys` gives."""
    kind = kind_of(key)
    if kind in LEAVES:
        return key
    if kind is tuple:
        return [_TUPLE, *map(_key_tree, key)]
    return extension(_SCALAR, pack_scalar(key))


def _leaf_bytes(value: Any) -> int:
    """The bytes of a plain value beyond those that every element costs."""
    kind = kind_of(value)
    if kind is str:
        return len(value) if value.isascii() else 4 * len(value)
    if kind is bytes:
        return len(value)
    return int(value.bit_length()) // 8 if kind is int else 0
