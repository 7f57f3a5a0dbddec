"""The headers of packed arrays and scalars: a dtype and the lengths of the axes.

`PackedExtension` in value.proto is the normative description.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

import msgpack
import numpy as np
import numpy.typing as npt

from rlmesh.codec.infos.packable_types import kind_of

__all__ = [
    "DType",
    "Header",
    "UnsupportedDtypeError",
    "header_of",
    "lengths",
    "parsed",
    "written",
]

DType: TypeAlias = np.dtype[Any]

_FIXED_SIZE: Final = frozenset(
    ["|b1", "|i1", "|u1"]
    + [f"<{kind}{size}" for kind in "iu" for size in (2, 4, 8)]
    + ["<f2", "<f4", "<f8", "<c8", "<c16", "<m8", "<M8"]
)
_EXTENDED: Final = frozenset(["<f16", "<c32"])
_FLEXIBLE: Final = re.compile(r"<[mM]8\[[0-9]{0,9}[a-zA-Z]+\]|(<U|\|[SV])[0-9]{1,8}")
_DEEPEST: Final = 32
_HAS_X87: Final = np.finfo(np.longdouble).nmant == 63 and np.dtype(np.longdouble).itemsize == 16
_X87_BYTES: Final = 10


class UnsupportedDtypeError(TypeError):
    """A dtype whose elements have no form on the wire."""


class Header(NamedTuple):
    """A header and what its elements need.

    Attributes:
        data: The header with its length.
        convert: The dtype that the elements have to be brought to first; None: they have it.
        padding: Which bytes of an element mean nothing; None: all mean something.
    """

    data: bytes
    convert: DType | None
    padding: npt.NDArray[np.bool_] | None


@lru_cache(maxsize=1024)
def header_of(dtype: DType, shape: tuple[int, ...]) -> Header:
    """The header of an array.

    Raises:
        UnsupportedDtypeError: If its elements have no form on the wire.
    """
    try:
        little = dtype.newbyteorder("<")
    except TypeError as error:  # a dtype of NumPy's new kind, whose elements are no bytes
        raise UnsupportedDtypeError(str(dtype)) from error
    padding = _padding(little)
    return Header(
        data=written(_described(little), shape),
        convert=None if little == dtype else little,
        padding=padding if padding.any() else None,
    )


@lru_cache(maxsize=256)
def parsed(data: bytes) -> tuple[DType, tuple[int, ...], int]:
    """What a header says: the dtype, the shape, and the bytes of all elements.

    Args:
        data: The header without its length.

    Raises:
        ValueError: If the header is damaged.
        TypeError: If its dtype is none.
        LookupError: If its dtype lacks something.
    """
    described, *shape = msgpack.unpackb(data, unicode_errors="surrogatepass")
    dtype = _dtype(described)
    axes = lengths(shape)
    return dtype, axes, math.prod(axes) * dtype.itemsize


def written(described: Any, shape: tuple[int, ...]) -> bytes:
    """The header of a dtype as headers hold it, with its length.

    Raises:
        UnsupportedDtypeError: If it has so many fields that the header is too long.
    """
    data = msgpack.packb([described, *shape], unicode_errors="surrogatepass")
    if len(data) > 0xFFFF:
        raise UnsupportedDtypeError(f"{len(data)} bytes are too many for a header")
    return len(data).to_bytes(2, "little") + data


def lengths(axes: list[Any]) -> tuple[int, ...]:
    """The lengths of axes.

    Raises:
        ValueError: If they are none.
    """
    if not all(type(length) is int and length >= 0 for length in axes):
        raise ValueError(f"the lengths of axes are {axes!r:.80}")
    return tuple(axes)


def _described(dtype: DType, depth: int = 0) -> Any:
    """A dtype as headers hold it."""
    if dtype.fields is not None:
        # A field with a title has a third entry, and stands in the mapping twice.
        titled = any(len(entry) > 2 for entry in dtype.fields.values())
        nothing = dtype.hasobject or not dtype.itemsize
        if nothing or titled or depth > _DEEPEST or _fields_overlap(dtype):
            raise UnsupportedDtypeError(str(dtype))
        return {
            "itemsize": dtype.itemsize,
            "fields": [
                [name, _described(entry[0].base, depth + 1), list(entry[0].shape), entry[1]]
                for name, entry in dtype.fields.items()
            ],
        }
    text = dtype.str
    # A dtype that another package has added may call itself `<V2`.
    if not _is_plain(text) or np.dtype(text) != dtype:
        raise UnsupportedDtypeError(str(dtype))
    return text


def _dtype(described: Any, depth: int = 0) -> DType:
    """The dtype that a header holds."""
    dtype: DType
    kind = kind_of(described)
    if kind is dict and depth <= _DEEPEST:
        fields: list[Any] = described["fields"]
        dtype = np.dtype(
            {
                "names": [field[0] for field in fields],
                "formats": [(_dtype(field[1], depth + 1), lengths(field[2])) for field in fields],
                "offsets": [field[3] for field in fields],
                "itemsize": described["itemsize"],
            }
        )
        if _fields_overlap(dtype):
            raise ValueError("the fields of a dtype are larger than itself")
        return dtype
    if kind is not str or not _is_plain(described):
        raise ValueError(f"{described!r:.80} is no dtype that this machine takes from the wire")
    dtype = np.dtype(described)
    return dtype


def _fields_overlap(dtype: DType) -> bool:
    """Whether fields are larger together than their dtype: each is looked at by itself."""
    return sum(entry[0].itemsize for entry in (dtype.fields or {}).values()) > dtype.itemsize


def _is_plain(text: str) -> bool:
    return (
        text in _FIXED_SIZE
        or (_HAS_X87 and text in _EXTENDED)
        or _FLEXIBLE.fullmatch(text) is not None
    )


def _padding(dtype: DType) -> npt.NDArray[np.bool_]:
    """Which bytes of an element belong to no field, nor to the 10 bytes of an x87 float."""
    idle = np.zeros(dtype.itemsize, np.bool_)
    if dtype.fields is not None:
        idle[:] = True
        for entry in dtype.fields.values():
            kind, offset = entry[0], entry[1]
            idle[offset : offset + kind.itemsize] &= np.tile(
                _padding(kind.base), math.prod(kind.shape)
            )
    elif dtype.str in _EXTENDED:
        idle.reshape(-1, 16)[:, _X87_BYTES:] = True
    return idle
