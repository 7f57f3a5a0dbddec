"""What crosses an openpi websocket: MessagePack with arrays, to bytes and back.

An array is a map of its dtype, its shape and its elements, as `openpi-client` writes it. What is
read comes from anybody: only numbers and texts are read, nothing is executed, and no bytes take
more memory than their limits allow.
"""

from __future__ import annotations

import math
import re
from typing import Any, Final

import msgpack
import numpy as np
import numpy.typing as npt

from rlmesh.codec.infos.type_guards import is_array, is_row, is_scalar
from rlmesh.codec.infos.unpacking import DAMAGE, MAX_ARGUMENT_VALUES

__all__ = ["MessageError", "pack", "unpack"]

_ARRAY: Final = b"__ndarray__"
_SCALAR: Final = b"__npgeneric__"
# Booleans, integers and floats. No objects, records, times or complex numbers.
_NUMBERS: Final = re.compile(r"[<>|=](?:b1|[iu][1248]|f[248])")
_TEXT: Final = re.compile(r"[<>|=]U[0-9]{1,8}")


class MessageError(ValueError):
    """Bytes that are no message."""


def pack(value: Any) -> bytes:
    """A message with a value: dicts, lists, tuples, texts, numbers, and arrays of numbers.

    Raises:
        TypeError: If a part of it is anything else.
        ValueError: If a text or a number cannot be written.
    """
    packed: bytes = msgpack.packb(value, default=_packable)
    return packed


def _packable(value: Any) -> Any:
    if is_array(value) or is_scalar(value):
        dtype = value.dtype
        if dtype.kind == "U" and not value.shape:
            return str(value)
        if not _NUMBERS.fullmatch(dtype.str):
            raise TypeError(
                f"an array of dtype {dtype} has no form in this protocol; allowed are booleans, "
                f"integers and floats"
            )
        if is_scalar(value):
            return {_SCALAR: True, b"data": value.item(), b"dtype": dtype.str}
        return {
            _ARRAY: True,
            b"data": value.tobytes(),
            b"dtype": dtype.str,
            b"shape": value.shape,
        }
    raise TypeError(f"a value of type {type(value).__name__} has no form in this protocol")


def unpack(message: bytes, *, copy: bool = True) -> Any:
    """The value of a message.

    Args:
        message: One message, from anybody.
        copy: Whether arrays are owned and writable; else they are views of the message.

    Raises:
        MessageError: If it is no message, or holds something that this protocol does not allow.
    """
    reader = _Reader(copy=copy)
    try:
        return msgpack.unpackb(
            message,
            object_hook=reader.map,
            list_hook=reader.list,
            ext_hook=_no_extension,
            max_array_len=MAX_ARGUMENT_VALUES,
            max_map_len=MAX_ARGUMENT_VALUES,
        )
    except MessageError:
        raise
    except DAMAGE as error:
        raise MessageError(f"{len(message)} bytes are no message: {error}") from error


def _no_extension(code: int, payload: bytes) -> Any:
    raise MessageError(f"the message has an extension of MessagePack ({code}); allowed is none")


class _Reader:
    """Reads the containers of one message.

    Args:
        copy: As `unpack` has it.
    """

    def __init__(self, *, copy: bool) -> None:
        self._copy = copy
        self._values = 0

    def map(self, entries: dict[Any, Any]) -> Any:
        """A map: a dict, or the array or number that it stands for."""
        self._count(len(entries))
        if _ARRAY in entries:
            return self._array(entries)
        if _SCALAR in entries:
            return _scalar(entries)
        for key in entries:
            if not isinstance(key, str):
                raise MessageError(f"the keys of a dict must be texts, got {key!r:.80}")
        return entries

    def list(self, items: list[Any]) -> Any:
        """A list."""
        self._count(len(items))
        return items

    def _count(self, values: int) -> None:
        self._values += values + 1
        if self._values > MAX_ARGUMENT_VALUES:
            raise MessageError(
                f"the message's dicts and lists hold more than {MAX_ARGUMENT_VALUES} values; send "
                f"numbers as arrays"
            )

    def _array(self, entries: dict[Any, Any]) -> npt.NDArray[Any]:
        data, dtype = entries[b"data"], _dtype(entries, _NUMBERS)
        shape = entries[b"shape"]
        if not isinstance(data, bytes) or not is_row(shape):
            raise MessageError("an array needs its elements as bytes, and its shape as a list")
        if not all(type(length) is int and length >= 0 for length in shape):
            raise MessageError(f"the lengths of an array's axes are {shape!r:.80}")
        needed = math.prod(shape) * dtype.itemsize
        if needed != len(data):
            raise MessageError(
                f"an array of shape {shape!r:.80} and dtype {dtype} takes {needed} bytes, got "
                f"{len(data)}"
            )
        array: npt.NDArray[Any] = np.frombuffer(data, dtype).reshape(shape)
        return array.copy() if self._copy else array


def _scalar(entries: dict[Any, Any]) -> Any:
    data = entries[b"data"]
    if isinstance(data, str):
        _dtype(entries, _TEXT)
        return data
    if not isinstance(data, bool | int | float):
        raise MessageError(f"a number of NumPy is written as a number, got {data!r:.80}")
    dtype = _dtype(entries, _NUMBERS)
    number = np.asarray(data).astype(dtype)
    if dtype.kind in "biu" and number != data:
        raise MessageError(f"{data!r:.80} is no number of dtype {dtype}")
    return number[()]


def _dtype(entries: dict[Any, Any], allowed: re.Pattern[str]) -> np.dtype[Any]:
    text = entries[b"dtype"]
    if not isinstance(text, str) or not allowed.fullmatch(text):
        raise MessageError(
            f"the dtype {text!r:.80} is not allowed; allowed are booleans, integers and floats of "
            f"NumPy, as '<f4'"
        )
    dtype: np.dtype[Any] = np.dtype(text)
    return dtype
