"""What writes and reads one numeric leaf, compiled for its dtype, shape and size.

Each function has one fast way, for a value that is exactly what its space samples, and leaves the
rest to `Coercion`. A small array is filled by `struct`, whose "16s" copies 16 bytes in less than
half of the time that a view of the buffer and a copy of it take.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias, cast

import numpy as np
import numpy.typing as npt
from numpy import empty, ndarray

from rlmesh.codec.slab.coercion import Coercion
from rlmesh.codec.slab.leaves import Leaf
from rlmesh.codec.slab.protocols import Notes, Part, Put, Read, Readable, Writable
from rlmesh.codec.slab.violations import CorruptSlabError
from rlmesh_api.contract import DiscreteSpace

__all__ = [
    "MOST_KEPT",
    "SMALL",
    "Pack",
    "compile_copy",
    "compile_kept",
    "compile_pack",
    "compile_part",
    "compile_put",
    "compile_read",
    "compile_view",
    "is_left",
    "is_scalar",
    "known_scalars",
]

SMALL = 8192
"""The bytes up to which one more copy costs less than a view."""

MOST_KEPT = 4
"""How many times as large as what is kept of it a message, and a slab, may be to save a copy."""

Fill: TypeAlias = Callable[[Any, int, bytes], None]
Take: TypeAlias = Callable[[Readable, int], tuple[bytes]]

_FLOAT64 = np.dtype(np.float64)
_MOST_NARROWED = 64
_MOST_SCALARS = 256


class Pack(Protocol):
    """Gives a leaf's bytes; a `Part`, and the whole `Encode` of a space that is a single leaf."""

    def __call__(
        self, value: Any, notes: Notes = None, tail: list[bytes] | None = None, /
    ) -> bytes:
        """The bytes of a value; nothing goes to the tail. Raises `Violation`."""
        ...


def is_scalar(leaf: Leaf) -> bool:
    """Whether the leaf's value is a scalar of NumPy, not an array."""
    return isinstance(leaf.space, DiscreteSpace) and leaf.num_envs is None


def compile_pack(leaf: Leaf) -> Pack:
    """Compiles what gives the bytes of a leaf's value."""
    if is_scalar(leaf):
        return _compile_pack_scalar(leaf)
    dtype, shape, coerce = leaf.dtype, leaf.shape, Coercion(leaf)

    def pack(value: Any, notes: Notes = None, _tail: object = None, /) -> bytes:
        if type(value) is ndarray and value.dtype is dtype and value.shape == shape:
            return value.tobytes()
        return coerce(value, notes).tobytes()

    if dtype.kind != "f" or dtype == _FLOAT64 or leaf.count > _MOST_NARROWED:
        return pack
    narrow = struct.Struct(f"<{leaf.count}{leaf.code}").pack

    def pack_narrow(value: Any, notes: Notes = None, _tail: object = None, /) -> bytes:
        if type(value) is ndarray and value.shape == shape:
            if value.dtype is dtype:
                return value.tobytes()
            # What many environments and policies give for a narrower box.
            if value.dtype is _FLOAT64:
                try:
                    return narrow(*value.reshape(-1).tolist())
                except OverflowError:
                    pass  # the coercion notes it
        return coerce(value, notes).tobytes()

    return pack_narrow


def compile_part(leaf: Leaf) -> Part:
    """Compiles what gives a leaf's value as one part of a slab that is joined from several."""
    if leaf.nbytes <= SMALL:
        return compile_pack(leaf)
    dtype, shape, coerce = leaf.dtype, leaf.shape, Coercion(leaf)

    def part(value: Any, notes: Notes, _tail: object, /) -> npt.NDArray[Any]:
        if not (type(value) is ndarray and value.dtype is dtype and value.shape == shape):
            value = coerce(value, notes)
        array: npt.NDArray[Any] = value
        return array if array.flags.c_contiguous else array.copy()

    return part


def compile_put(leaf: Leaf) -> Put:
    """Compiles what writes a leaf's value into a buffer."""
    dtype, shape, coerce = leaf.dtype, leaf.shape, Coercion(leaf)
    offset, nbytes = leaf.offset, leaf.nbytes
    if nbytes <= SMALL:
        pack = compile_pack(leaf)

        def put_small(
            value: Any, buffer: Writable, base: int, notes: Notes, _tail: object, /
        ) -> None:
            start = base + offset
            buffer[start : start + nbytes] = pack(value, notes)

        return put_small

    def put_large(value: Any, buffer: Writable, base: int, notes: Notes, _tail: object, /) -> None:
        if not (type(value) is ndarray and value.dtype is dtype and value.shape == shape):
            value = coerce(value, notes)
        ndarray(shape, dtype, buffer, base + offset)[...] = value

    return put_large


def compile_read(leaf: Leaf) -> Read:
    """Compiles what reads a leaf's value: a new array, or the scalar of a Discrete."""
    if is_scalar(leaf):
        return _compile_read_scalar(leaf)
    if leaf.dtype.kind == "b":
        return _compile_read_bools(leaf, copy=True)
    dtype, shape, offset = leaf.dtype, leaf.shape, leaf.offset
    if not dtype.isnative:
        return _compile_read_swapped(leaf)
    if leaf.nbytes > SMALL:
        return lambda buffer, base, _tail, /: ndarray(shape, dtype, buffer, base + offset).copy()
    fill, take = compile_copy(leaf.nbytes)

    def read(buffer: Readable, base: int, _tail: object, /) -> npt.NDArray[Any]:
        array = empty(shape, dtype)
        fill(array, 0, take(buffer, base + offset)[0])
        return array

    return read


def compile_copy(nbytes: int) -> tuple[Fill, Take]:
    """Compiles the quickest way there is to fill a small array.

    Returns:
        What copies bytes into an array, at 0, and what takes them from a buffer.
    """
    whole = struct.Struct(f"{nbytes}s")
    return whole.pack_into, whole.unpack_from


def compile_view(leaf: Leaf) -> Read:
    """Compiles what reads a leaf's value as a read-only view of the buffer.

    A value that the machine cannot read as it stands is copied all the same.
    """
    if is_scalar(leaf):
        return _compile_read_scalar(leaf)
    if leaf.dtype.kind == "b":
        return _compile_read_bools(leaf, copy=False)
    dtype, shape, offset = leaf.dtype, leaf.shape, leaf.offset
    if not dtype.isnative:
        return _compile_read_swapped(leaf)

    def view(buffer: Readable, base: int, _tail: object, /) -> npt.NDArray[Any]:
        array: npt.NDArray[Any] = ndarray(shape, dtype, buffer, base + offset)
        array.setflags(write=False)
        return array

    return view


def compile_kept(leaf: Leaf) -> Read:
    """Compiles what reads a leaf's value from memory that is left to its reader: without a copy.

    A value that the machine cannot read as it stands is copied all the same.
    """
    if is_scalar(leaf):
        return _compile_read_scalar(leaf)
    if leaf.dtype.kind == "b":
        return _compile_keep_bools(leaf)
    dtype, shape, offset = leaf.dtype, leaf.shape, leaf.offset
    if not dtype.isnative:
        return _compile_read_swapped(leaf)

    def keep(buffer: Readable, base: int, _tail: object, /) -> npt.NDArray[Any]:
        array: npt.NDArray[Any] = ndarray(shape, dtype, buffer, base + offset)
        return array if array.flags.aligned else array.copy()

    return keep


def is_left(buffer: Readable, nbytes: int) -> bool:
    """Whether a buffer is left to its reader, and worth keeping for so many bytes of it.

    An array that stands in it keeps the whole buffer alive; see `Readable`.
    """
    return (
        isinstance(buffer, memoryview)
        and isinstance(buffer.obj, ndarray)
        and len(buffer) <= MOST_KEPT * nbytes
    )


def known_scalars(leaf: Leaf) -> dict[tuple[int], Any]:
    """Scalars of a Discrete, by what `struct` unpacks: finding one costs a third of making one."""
    space, limits = cast("DiscreteSpace", leaf.space), np.iinfo(leaf.dtype)
    scalar, start = leaf.dtype.type, max(int(space.start), int(limits.min))
    stop = min(start + min(space.n, _MOST_SCALARS), int(limits.max) + 1)
    return {(value,): scalar(value) for value in range(start, stop)}


def _compile_pack_scalar(leaf: Leaf) -> Pack:
    pack, coerce = struct.Struct(f"<{leaf.code}").pack, Coercion(leaf)
    # Types of which `pack` takes every value that is in its range.
    integers = frozenset({int, bool, np.int64, np.int32})

    def pack_scalar(value: Any, notes: Notes = None, _tail: object = None, /) -> bytes:
        if type(value) in integers:
            try:
                return pack(value)
            except struct.error:
                pass  # the coercion refuses it
        return coerce(value, notes).tobytes()

    return pack_scalar


def _compile_read_scalar(leaf: Leaf) -> Read:
    unpack_from = struct.Struct(f"<{leaf.code}").unpack_from
    offset, scalar, known = leaf.offset, leaf.dtype.type, known_scalars(leaf)

    def read_scalar(buffer: Readable, base: int, _tail: object, /) -> Any:
        item = unpack_from(buffer, base + offset)
        try:
            return known[item]
        except KeyError:
            return scalar(item[0])

    return read_scalar


def _compile_read_swapped(leaf: Leaf) -> Read:
    dtype, shape, offset = leaf.dtype, leaf.shape, leaf.offset
    native = dtype.newbyteorder("=")
    return lambda buffer, base, _tail, /: ndarray(shape, dtype, buffer, base + offset).astype(
        native
    )


def _compile_keep_bools(leaf: Leaf) -> Read:
    view = _compile_read_bools(leaf, copy=False)

    def keep(buffer: Readable, base: int, tail: Any, /) -> npt.NDArray[Any]:
        array: npt.NDArray[Any] = view(buffer, base, tail)
        array.setflags(write=True)
        return array

    return keep


def _compile_read_bools(leaf: Leaf, *, copy: bool) -> Read:
    shape, offset, path = leaf.shape, leaf.offset, leaf.path

    def read_bools(buffer: Readable, base: int, _tail: object, /) -> npt.NDArray[np.bool_]:
        array = ndarray(shape, np.uint8, buffer, base + offset)
        if copy:
            # Copied before the check: the other process may change a shared buffer after it.
            array = array.copy()
        # NumPy's loops cannot handle a bool that is neither 0 nor 1.
        if array.size and array.max() > 1:
            raise CorruptSlabError(f"{path}: expected bools, 0 or 1, got {array.max()}")
        array.setflags(write=copy)
        flags: npt.NDArray[np.bool_] = array.view(np.bool_)
        return flags

    return read_bools
