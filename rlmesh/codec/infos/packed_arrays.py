"""NumPy arrays and scalars as payloads of MessagePack extensions: a header and raw elements."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from rlmesh.codec.infos.packed_dtypes import UnsupportedDtypeError, header_of, parsed, written

__all__ = [
    "SCALAR_WRITERS",
    "SMALL",
    "UnsupportedDtypeError",
    "array_parts",
    "pack_scalar",
    "read_array",
    "read_scalar",
]

SMALL: Final = 16 * 1024
"""The bytes of elements up to which a copy costs less than what saves it."""

_LAST_CODE_POINT: Final = 0x10FFFF
# The common scalars, which go faster past arrays, with their codes in `struct`.
_STRUCTS: Final = {
    "|i1": "b",
    "|u1": "B",
    "<i2": "h",
    "<u2": "H",
    "<i4": "i",
    "<u4": "I",
    "<i8": "q",
    "<u8": "Q",
    "<f4": "f",
    "<f8": "d",
}

_Read: TypeAlias = Callable[[bytes], Any]


def array_parts(array: npt.NDArray[Any]) -> tuple[bytes, bytes | memoryview]:
    """The payload of an array: its header, and its elements, which may be a view of it.

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
        return header, _without_padding(array.tobytes(), padding)
    # NumPy exports no buffer of times.
    if array.nbytes >= SMALL and array.flags.c_contiguous and array.dtype.kind in "biufcSU":
        return header, array.data
    return header, array.tobytes()


def pack_scalar(scalar: np.generic[Any]) -> bytes:
    """The payload of a scalar.

    Raises:
        UnsupportedDtypeError: If it has no form on the wire.
    """
    write = SCALAR_WRITERS.get(type(scalar))
    if write is not None:
        return write(scalar)
    # The dtypes and bytes of these two, as NumPy gives them, lose NULs at the end.
    if isinstance(scalar, np.str_):
        return written(f"<U{len(scalar)}", ()) + scalar.encode("utf-32-le", "surrogatepass")
    if isinstance(scalar, np.bytes_):
        return written(f"|S{len(scalar)}", ()) + bytes(scalar)
    return b"".join(array_parts(np.asarray(scalar)))


def read_array(data: bytes | memoryview, at: int = 0) -> npt.NDArray[Any]:
    """The array of a payload: owned, writable, little-endian.

    Args:
        data: What ends with the payload.
        at: Where the payload begins.

    Raises:
        ValueError: If the payload is damaged. Or another error of `parsed`.
    """
    start = at + 2 + (data[at] | data[at + 1] << 8)
    dtype, shape, size = parsed(bytes(data[at + 2 : start]))
    if not dtype.itemsize or len(data) - start != size:
        raise ValueError(f"{len(data) - start} bytes are no array of shape {shape} and {dtype}")
    if not size:
        return np.empty(shape, dtype)
    array: npt.NDArray[Any] = np.ndarray(shape, dtype, data, start).copy()
    if dtype.kind in "bUV":
        _check_elements(array)
    return array


def read_scalar(payload: bytes) -> np.generic[Any]:
    """The scalar of a payload.

    Raises:
        ValueError: If the payload is damaged. Or another error of `parsed`.
    """
    start = 2 + (payload[0] | payload[1] << 8)
    scalar: np.generic[Any] = _scalar_reader(payload[2:start])(payload)
    return scalar


@lru_cache(maxsize=256)
def _scalar_reader(header: bytes) -> _Read:
    """What reads the scalars of a header from their payloads."""
    dtype, shape, size = parsed(header)
    start = 2 + len(header)
    if shape or (dtype.kind == "V" and not size):
        raise ValueError(f"a scalar has no axes and some bytes, this one has {shape} of {dtype}")
    if dtype.str in _STRUCTS:
        unpack, kind = struct.Struct(f"<{start}x{_STRUCTS[dtype.str]}").unpack, dtype.type
        return lambda payload: kind(unpack(payload)[0])

    def read(payload: bytes) -> Any:
        if len(payload) - start != size:
            raise ValueError(f"{len(payload) - start} bytes are no scalar of {dtype}")
        if dtype.kind == "U":
            return np.str_(payload[start:].decode("utf-32-le", "surrogatepass"))
        if dtype.kind == "S":
            return np.bytes_(payload[start:])
        array: npt.NDArray[Any] = np.ndarray((), dtype, payload, start).copy()
        if dtype.kind in "bV":
            _check_elements(array)
        return array[()]

    return read


def _scalar_writer(name: str, code: str) -> Callable[[Any], bytes]:
    header = written(name, ())
    return partial(struct.Struct(f"<{len(header)}s{code}").pack, header)


SCALAR_WRITERS: Final[Mapping[type[object], Callable[[Any], bytes]]] = {
    np.dtype(name).type: _scalar_writer(name, code) for name, code in _STRUCTS.items()
}
"""What gives the payloads of the common scalars."""


def _without_padding(raw: bytes, padding: npt.NDArray[np.bool_]) -> bytes:
    """The elements, with zeros for what memory happened to hold between them."""
    elements = np.frombuffer(raw, np.uint8).reshape(-1, padding.size).copy()
    elements[:, padding] = 0
    data: bytes = elements.tobytes()
    return data


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
