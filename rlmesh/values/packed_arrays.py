"""NumPy arrays and scalars as payloads of MessagePack extensions: a header and raw elements."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from rlmesh.values.packed_dtypes import DType, UnsupportedDtypeError, header_of, parsed, written

__all__ = ["UnsupportedDtypeError", "pack_array", "pack_scalar", "read_array", "read_scalar"]

_LAST_CODE_POINT: Final = 0x10FFFF
# The common scalars, which go faster past arrays.
_STRUCTS: Final = {
    "|i1": struct.Struct("<b"),
    "|u1": struct.Struct("<B"),
    "<i2": struct.Struct("<h"),
    "<u2": struct.Struct("<H"),
    "<i4": struct.Struct("<i"),
    "<u4": struct.Struct("<I"),
    "<i8": struct.Struct("<q"),
    "<u8": struct.Struct("<Q"),
    "<f4": struct.Struct("<f"),
    "<f8": struct.Struct("<d"),
}

_Read: TypeAlias = Callable[[bytes, int], Any]


def pack_array(array: npt.NDArray[Any]) -> bytes:
    """The payload of an array.

    Args:
        array: Any shape, strides and byte order; no subclass.

    Raises:
        UnsupportedDtypeError: If its elements have no form on the wire.
    """
    header, convert, padding = header_of(array.dtype, array.shape)
    if not array.dtype.itemsize:
        raise UnsupportedDtypeError("elements without bytes are not counted by bytes")
    if convert is not None:
        array = array.astype(convert)
    if padding is not None:
        return header + _without_padding(array.tobytes(), padding)
    if array.flags.c_contiguous and array.dtype.kind in "biufcSU":
        # One copy instead of two. NumPy exports no buffer of times.
        return b"".join((header, array.data))
    return header + array.tobytes()


def pack_scalar(scalar: np.generic[Any]) -> bytes:
    """The payload of a scalar.

    Raises:
        UnsupportedDtypeError: If it has no form on the wire.
    """
    write = _SCALAR_WRITERS.get(type(scalar))
    if write is not None:
        return write(scalar)
    # The dtypes and bytes of these two, as NumPy gives them, lose NULs at the end.
    if isinstance(scalar, np.str_):
        return written(f"<U{len(scalar)}", ()) + scalar.encode("utf-32-le", "surrogatepass")
    if isinstance(scalar, np.bytes_):
        return written(f"|S{len(scalar)}", ()) + bytes(scalar)
    return pack_array(np.asarray(scalar))


def read_array(payload: bytes) -> npt.NDArray[Any]:
    """The array of a payload: owned, writable, little-endian.

    Raises:
        ValueError: If the payload is damaged. Or another error of `parsed`.
    """
    start = 2 + (payload[0] | payload[1] << 8)
    dtype, shape, size = parsed(payload[2:start])
    if not dtype.itemsize or len(payload) - start != size:
        raise ValueError(f"{len(payload) - start} bytes are no array of shape {shape} and {dtype}")
    if not size:
        return np.empty(shape, dtype)
    array: npt.NDArray[Any] = np.ndarray(shape, dtype, payload, start).copy()
    if dtype.kind in "bUV":
        _check_elements(array)
    return array


def read_scalar(payload: bytes) -> np.generic[Any]:
    """The scalar of a payload.

    Raises:
        ValueError: If the payload is damaged. Or another error of `parsed`.
    """
    start = 2 + (payload[0] | payload[1] << 8)
    read, size = _scalar_reader(payload[2:start])
    if len(payload) - start != size:
        raise ValueError(f"{len(payload) - start} bytes are no scalar of {size}")
    scalar: np.generic[Any] = read(payload, start)
    return scalar


@lru_cache(maxsize=256)
def _scalar_reader(header: bytes) -> tuple[_Read, int]:
    """What reads the scalars of a header, and their bytes."""
    dtype, shape, size = parsed(header)
    if shape:
        raise ValueError(f"a scalar has no axes, this one has {shape}")
    if dtype.kind == "U":
        return lambda data, start: np.str_(data[start:].decode("utf-32-le", "surrogatepass")), size
    if dtype.kind == "S":
        return lambda data, start: np.bytes_(data[start:]), size
    if not size:
        raise ValueError(f"a scalar of {dtype} has no bytes")
    return _number_reader(dtype) or _element_reader(dtype), size


def _number_reader(dtype: DType) -> _Read | None:
    form = _STRUCTS.get(dtype.str)
    if form is None:
        return None
    unpack, kind = form.unpack_from, dtype.type
    return lambda data, start: kind(unpack(data, start)[0])


def _element_reader(dtype: DType) -> _Read:
    def read(data: bytes, start: int) -> Any:
        array: npt.NDArray[Any] = np.ndarray((), dtype, data, start).copy()
        if dtype.kind in "bV":
            _check_elements(array)
        return array[()]

    return read


def _scalar_writers() -> dict[type, Callable[[Any], bytes]]:
    def writer(name: str, form: struct.Struct) -> Callable[[Any], bytes]:
        header, pack = written(name, ()), form.pack
        return lambda scalar: header + pack(scalar)

    return {np.dtype(name).type: writer(name, form) for name, form in _STRUCTS.items()}


_SCALAR_WRITERS: Final = _scalar_writers()


def _without_padding(raw: bytes, padding: npt.NDArray[np.bool_]) -> bytes:
    """The elements, with zeros for what memory happened to hold between them."""
    elements = np.frombuffer(raw, np.uint8).reshape(-1, padding.size).copy()
    elements[:, padding] = 0
    return elements.tobytes()


def _check_elements(array: npt.NDArray[Any]) -> None:
    """Refuses elements that would misbehave later, when they are read."""
    kind = array.dtype.kind
    if array.dtype.names is not None:
        for name in array.dtype.names:
            _check_elements(array[name])
    elif kind == "b":
        if array.tobytes().translate(None, b"\0\1"):
            raise ValueError("a bool is one byte, 0 or 1")
    elif kind == "U" and array.nbytes:
        highest = np.frombuffer(array.tobytes(), "<u4").max()
        if highest > _LAST_CODE_POINT:
            raise ValueError(f"{highest} is no code point")
