"""The layout of a space that is one numeric leaf: what stands on the path of most steps.

The functions do in one frame what those for containers do in several.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy import empty, ndarray

from rlmesh.codec.slab.arrays import (
    SMALL,
    compile_copy,
    compile_kept,
    compile_pack,
    compile_put,
    compile_read,
    compile_view,
    is_left,
    is_scalar,
    known_scalars,
)
from rlmesh.codec.slab.leaves import Leaf
from rlmesh.codec.slab.protocols import (
    Decode,
    Encode,
    EncodeInto,
    Notes,
    Readable,
    Writable,
)
from rlmesh.codec.slab.violations import BufferTooSmallError, wrong_length
from rlmesh.compiled import step as compiled
from rlmesh.compiled.interface import ArrayLeaf, ScalarLeaf

__all__ = ["compile_single_decode", "compile_single_encode", "compile_single_encode_into"]


# Scalars of which `struct` packs every value that is in its range.
_INTEGERS = (int, np.int64, np.int32, bool)
_MOST_AXES, _LARGEST_START = 8, 2**63 - 1
# A numeric leaf has nothing in the tail.
_NO_TAIL: Any = ()


def compile_single_encode(leaf: Leaf) -> Encode:
    """Compiles what writes a value into a new slab."""
    scalar = _compiled_scalar(leaf)
    return scalar.encode if scalar else compile_pack(leaf)


def compile_single_encode_into(leaf: Leaf) -> EncodeInto:
    """Compiles what writes a value into a buffer."""
    size, dtype, shape = leaf.nbytes, leaf.dtype, leaf.shape
    if size <= SMALL:
        if array := _compiled_array(leaf):
            return array.encode_into
        pack = compile_pack(leaf)
        fill, _ = compile_copy(size)

        def encode_small_into(
            value: Any, buffer: Writable, offset: int = 0, notes: Notes = None, /
        ) -> int:
            if len(buffer) - offset < size:
                raise BufferTooSmallError(size, len(buffer) - offset)
            # As `pack` begins, without its frame.
            if type(value) is ndarray and value.dtype is dtype and value.shape == shape:
                fill(buffer, offset, value.tobytes())
            else:
                fill(buffer, offset, pack(value, notes))
            return size

        return encode_small_into

    put = compile_put(leaf)

    def encode_into(value: Any, buffer: Writable, offset: int = 0, notes: Notes = None, /) -> int:
        if len(buffer) - offset < size:
            raise BufferTooSmallError(size, len(buffer) - offset)
        put(value, buffer, offset, notes, _NO_TAIL)
        return size

    return encode_into


def compile_single_decode(leaf: Leaf) -> Decode:
    """Compiles what reads a value from a slab."""
    if scalar := _compiled_scalar(leaf):
        return scalar.decode
    if array := _compiled_array(leaf):
        return array.decode
    decode = _compile_decode(leaf)
    if is_scalar(leaf):
        return _compile_decode_scalar(leaf, decode)
    if leaf.dtype.kind == "b" or not leaf.dtype.isnative or leaf.nbytes > SMALL:
        return decode
    return _compile_decode_small(leaf, decode)


def _compile_decode(leaf: Leaf) -> Decode:
    read, view, keep, size = (
        compile_read(leaf),
        compile_view(leaf),
        compile_kept(leaf),
        leaf.nbytes,
    )

    def decode(
        buffer: Readable, offset: int = 0, nbytes: int | None = None, copy: bool = True
    ) -> Any:
        available = len(buffer) - offset
        if not (available if nbytes is None else nbytes) == size <= available:
            raise wrong_length(size, available if nbytes is None else min(nbytes, available))
        if not copy:
            return view(buffer, offset, _NO_TAIL)
        # Little else stands in a buffer that is left to its reader: it is worth no copy.
        return (keep if is_left(buffer, size) else read)(buffer, offset, _NO_TAIL)

    return decode


def _compile_decode_scalar(leaf: Leaf, otherwise: Decode) -> Decode:
    size, known = leaf.nbytes, known_scalars(leaf)
    unpack_from = struct.Struct(f"<{leaf.code}").unpack_from

    def decode_scalar(
        buffer: Readable, offset: int = 0, nbytes: int | None = None, copy: bool = True
    ) -> Any:
        available = len(buffer) - offset
        if (available if nbytes is None else nbytes) == size <= available:
            found = known.get(unpack_from(buffer, offset))
            if found is not None:
                return found
        return otherwise(buffer, offset, nbytes, copy)

    return decode_scalar


def _compile_decode_small(leaf: Leaf, otherwise: Decode) -> Decode:
    shape, dtype, size = leaf.shape, leaf.dtype, leaf.nbytes
    fill, take = compile_copy(size)

    def decode_small(
        buffer: Readable, offset: int = 0, nbytes: int | None = None, copy: bool = True
    ) -> Any:
        available = len(buffer) - offset
        if copy and (available if nbytes is None else nbytes) == size <= available:
            array = empty(shape, dtype)
            fill(array, 0, take(buffer, offset)[0])
            return array
        return otherwise(buffer, offset, nbytes, copy)

    return decode_small


def _compiled_scalar(leaf: Leaf) -> ScalarLeaf | None:
    """The functions of a scalar in C; None where Python must do."""
    if not compiled or not is_scalar(leaf):
        return None
    known = known_scalars(leaf)
    [(start,), *_] = known
    if start > _LARGEST_START or not leaf.dtype.isnative:
        return None
    decode = _compile_decode_scalar(leaf, _compile_decode(leaf))
    signed = leaf.dtype.kind == "i"
    return compiled.ScalarLeaf(
        leaf.nbytes, signed, _INTEGERS, start, tuple(known.values()), compile_pack(leaf), decode
    )


def _compiled_array(leaf: Leaf) -> ArrayLeaf | None:
    """The functions of a small array in C; None where Python must do."""
    small = 0 < leaf.nbytes <= SMALL and len(leaf.shape) <= _MOST_AXES
    plain = leaf.dtype.kind != "b" and leaf.dtype.isnative and not is_scalar(leaf)
    if not (compiled and small and plain):
        return None
    return compiled.ArrayLeaf(
        ndarray,
        empty,
        leaf.dtype,
        leaf.shape,
        leaf.nbytes,
        compile_pack(leaf),
        _compile_decode(leaf),
        BufferTooSmallError,
    )
