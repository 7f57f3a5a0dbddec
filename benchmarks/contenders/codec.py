"""MessagePack with NumPy arrays, for contenders that bring no encoding.

An array is a map of dtype, shape and bytes, so that its bytes are copied once on either side. A
transport that moves frames takes large arrays beside the message, which then says where:
`FramesPacker`, `unpack_frames`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgpack
import numpy as np
import numpy.typing as npt

from benchmarks.guards import is_array, is_scalar

# The keys of an array's map; no environment's map has the first.
_DTYPE, _SHAPE, _BYTES, _PLACE = "\0dtype", "s", "b", "p"
# From here on a separate frame costs less than a copy.
_LARGE = 16 * 1024

Frame = bytes | memoryview


def pack(value: Any) -> bytes:
    """One message with everything in it."""
    return _PACKER.pack(value)


def unpack(message: Frame) -> Any:
    """The value of a message; arrays are read-only views of it."""
    return msgpack.unpackb(message, object_hook=_array)


class FramesPacker:
    """Packs for a transport that moves frames."""

    def __init__(self) -> None:
        # Kept, for it brings a large buffer.
        self._packer = msgpack.Packer(default=self._default)
        self._large: list[npt.NDArray[Any]] = []

    def pack(self, value: Any) -> list[Any]:
        """The message, then the large arrays in it, as they are."""
        self._large = []
        return [self._packer.pack(value), *self._large]

    def _default(self, item: Any) -> Any:
        if not is_array(item) or item.nbytes < _LARGE:
            return _packable(item)
        array = np.ascontiguousarray(item)
        self._large.append(array)
        return {_DTYPE: array.dtype.str, _SHAPE: array.shape, _PLACE: len(self._large)}


def unpack_frames(frames: Sequence[Frame]) -> Any:
    """The value of a message; large arrays are read-only views of their frames."""

    def hook(item: dict[str, Any]) -> Any:
        if _PLACE in item and _DTYPE in item:
            place: int = item[_PLACE]
            return _view(frames[place], item)
        return _array(item)

    return msgpack.unpackb(frames[0], object_hook=hook)


def _packable(item: Any) -> Any:
    if is_array(item):
        array = np.ascontiguousarray(item)
        # MessagePack takes no buffer of several dimensions.
        return {
            _DTYPE: array.dtype.str,
            _SHAPE: array.shape,
            _BYTES: array.reshape(-1).view(np.uint8).data,
        }
    if is_scalar(item):
        return item.item()
    raise TypeError(f"no MessagePack for {type(item)}")


def _array(item: dict[str, Any]) -> Any:
    if _DTYPE not in item:
        return item
    return _view(item[_BYTES], item)


def _view(content: Frame, item: dict[str, Any]) -> npt.NDArray[Any]:
    dtype: np.dtype[Any] = np.dtype(item[_DTYPE])
    array: npt.NDArray[Any] = np.frombuffer(content, dtype).reshape(item[_SHAPE])
    return array


# Kept, for it brings a large buffer. One thread of a process packs.
_PACKER = msgpack.Packer(default=_packable)
