"""Bytes of a packed value back to the value. Executes nothing, whatever the bytes are.

The decoder is MessagePack's own, which keeps its stack in memory of a fixed size. Containers that
MessagePack lacks are arrays whose first element is a marker, so nothing here is recursive.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterable
from typing import Any, Final

import msgpack
import numpy as np
import numpy.typing as npt

from rlmesh.codec.infos.hash_flooding import MOST_KEYS_OF_ONE_HASH, busiest_hash
from rlmesh.codec.infos.packable_types import kind_of
from rlmesh.codec.infos.packed_arrays import read_array, read_scalar
from rlmesh.codec.infos.packed_dtypes import lengths
from rlmesh_api.v1 import value_pb2

__all__ = ["PackingError", "TooManyValuesError", "unpack", "unpack_argument", "unpack_info"]

# The wrappers of protobuf's enums are slow to ask.
_TUPLE: Final = int(value_pb2.PACKED_EXTENSION_TUPLE)
_BIG_INTEGER: Final = int(value_pb2.PACKED_EXTENSION_BIG_INTEGER)
_ARRAY: Final = int(value_pb2.PACKED_EXTENSION_ARRAY)
_SCALAR: Final = int(value_pb2.PACKED_EXTENSION_SCALAR)
_OBJECT_ARRAY: Final = int(value_pb2.PACKED_EXTENSION_OBJECT_ARRAY)
_DICT: Final = int(value_pb2.PACKED_EXTENSION_DICT)

# MessagePack's extension with four bytes of length, one of type, and the payload.
_EXT_32: Final = 0xC9
_EXT_32_BYTES: Final = 6
# The timestamps that MessagePack itself defines, and that no RLMesh sends: msgpack asks no hook for
# them. Where a search for them would cost every step, they are read as integers.
_TIMESTAMP_AS_INT: Final = 2
_TIMESTAMP_AS_OBJECT: Final = 0
# How a timestamp begins: as the extension -1 of 4, 8 or 12 bytes. Other values may hold them too.
_TIMESTAMP_HEAD: Final = re.compile(
    rb"(?:[\xd6\xd7]|\xc7[\x04\x08\x0c]|\xc8\0[\x04\x08\x0c]|\xc9\0\0\0[\x04\x08\x0c])\xff"
)


MAX_ARGUMENT_VALUES: Final = 1 << 20
"""How many values the containers of an argument may hold: a list of one byte takes 64 of memory."""

MAX_ANSWER_VALUES: Final = 1 << 22
"""How many values the containers of an info, or of another value from a server, may hold."""

# The first bytes of arrays and of maps whose length follows.
_ARRAY_HEADS: Final = (0xDC, 0xDD)
_MAP_HEADS: Final = (0xDE, 0xDF)


DAMAGE: Final = (
    ArithmeticError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)
"""What msgpack and struct raise for damaged bytes, and NumPy for an impossible dtype or shape."""


class PackingError(ValueError):
    """Bytes that are no packed value."""


class TooManyValuesError(PackingError):
    """Bytes whose containers hold more values than allowed."""


def unpack(data: bytes | memoryview) -> Any:
    """Reads a packed value; what it gives is owned and writable.

    Args:
        data: One packed value, from anybody.

    Raises:
        TooManyValuesError: If they hold more than `MAX_ANSWER_VALUES`.
        PackingError: If the bytes are anything else.
    """
    reader = _Reader()
    try:
        if _is_large_array(data):
            return read_array(data, _EXT_32_BYTES)
        # Fewer bytes hold no more values.
        if len(data) > MAX_ANSWER_VALUES:
            _check_count(data, MAX_ANSWER_VALUES)
        value = msgpack.unpackb(
            data,
            ext_hook=reader.extension,
            list_hook=reader.sequence,
            unicode_errors="surrogatepass",
            timestamp=_TIMESTAMP_AS_INT,
        )
    except PackingError:
        raise
    except DAMAGE as e:
        raise PackingError(f"{len(data)} bytes are no packed value: {e}") from e
    if reader.markers:
        raise PackingError(f"{len(data)} bytes are no packed value: a marker stands by itself")
    return value


def unpack_argument(data: bytes) -> Any:
    """Reads a packed value that a client gives; as `unpack`, but refuses timestamps too.

    Args:
        data: One packed value, from anybody.

    Raises:
        TooManyValuesError: If they hold more than `MAX_ARGUMENT_VALUES`.
        PackingError: If the bytes are anything else.
    """
    if len(data) > MAX_ARGUMENT_VALUES:
        _check_count(data, MAX_ARGUMENT_VALUES)
    value = unpack(data)
    if _TIMESTAMP_HEAD.search(data) and _has_timestamp(data):
        raise PackingError(
            f"{len(data)} bytes are no packed value: a timestamp of MessagePack is none; send a "
            f"number or a text"
        )
    return value


def unpack_info(data: bytes | memoryview) -> dict[str, Any]:
    """Reads a packed info.

    Args:
        data: A packed dict, or nothing for an empty one.

    Raises:
        TooManyValuesError: If it holds more than `MAX_ANSWER_VALUES`.
        PackingError: If the bytes are anything else.
    """
    if not data:
        return {}
    info = unpack(data)
    kind = kind_of(info)
    if kind is not dict:
        raise PackingError(f"an info is a dict, got a value of type {kind.__name__}")
    result: dict[str, Any] = info
    return result


def _is_large_array(data: bytes | memoryview) -> bool:
    """Whether an array is all that there is, such as a frame: it is copied once then."""
    return (
        len(data) > _EXT_32_BYTES
        and data[0] == _EXT_32
        and data[5] == _ARRAY
        and int.from_bytes(data[1:5], "big") == len(data) - _EXT_32_BYTES
    )


class _Marker:
    """The first element of an array that stands for another container."""

    __slots__ = ("code", "payload")

    def __init__(self, code: int, payload: bytes) -> None:
        self.code = code
        self.payload = payload


class _Reader:
    """Reads the extensions of one packed value.

    Attributes:
        markers: How many markers have not been followed by their container.
    """

    __slots__ = ("markers",)

    def __init__(self) -> None:
        self.markers = 0

    def extension(self, code: int, payload: bytes) -> object:
        """An extension: a value, or the marker of a container."""
        if code == _ARRAY:
            return read_array(payload)
        if code == _SCALAR:
            return read_scalar(payload)
        if code == _BIG_INTEGER:
            return int.from_bytes(payload, "little", signed=True)
        if code not in (_TUPLE, _OBJECT_ARRAY, _DICT):
            raise ValueError(f"there is no extension {code}")
        self.markers += 1
        return _Marker(code, payload)

    def sequence(self, items: list[Any]) -> object:
        """An array: a list, or the container that its first element marks."""
        if not items or type(items[0]) is not _Marker:
            return items
        self.markers -= 1
        marker = items.pop(0)
        if marker.code == _OBJECT_ARRAY:
            return _object_array(msgpack.unpackb(marker.payload), items)
        if marker.payload:
            raise ValueError(f"the marker {marker.code} has a payload")
        return tuple(items) if marker.code == _TUPLE else _keyed(items)


def _check_count(data: bytes | memoryview, most: int) -> None:
    """Refuses a packed value of more than `most` values, before any of them is made.

    Only containers are counted: what else a byte may become is no larger than a few bytes.
    """
    unpacker = msgpack.Unpacker(max_buffer_size=len(data))
    unpacker.feed(data)
    values, open_containers = 0, 1
    try:
        while open_containers:
            open_containers -= 1
            head = data[unpacker.tell()]
            if 0x90 <= head <= 0x9F or head in _ARRAY_HEADS:
                count = unpacker.read_array_header()
            elif 0x80 <= head <= 0x8F or head in _MAP_HEADS:
                count = 2 * unpacker.read_map_header()
            else:
                unpacker.skip()
                count = 0
            values += count
            open_containers += count
            if values > most:
                raise TooManyValuesError(
                    f"{len(data)} bytes hold more than {most} values; send arrays in place of long "
                    f"lists"
                )
    except PackingError:
        raise
    except (msgpack.UnpackException, *DAMAGE) as e:
        raise PackingError(f"{len(data)} bytes are no packed value: {e}") from e


def _has_timestamp(data: bytes) -> bool:
    """Whether a timestamp is in what `unpack` has read."""
    found: list[object] = []

    def look(items: Iterable[object]) -> None:
        found.extend(item for item in items if isinstance(item, msgpack.Timestamp))

    whole = msgpack.unpackb(
        data,
        ext_hook=lambda code, payload: None,
        list_hook=look,
        object_pairs_hook=lambda pairs: look(value for _, value in pairs),
        unicode_errors="surrogatepass",
        timestamp=_TIMESTAMP_AS_OBJECT,
    )
    look([whole])
    return bool(found)


def _object_array(axes: list[Any], items: list[Any]) -> npt.NDArray[Any]:
    shape = lengths(axes)
    if math.prod(shape) != len(items):
        raise ValueError(f"{len(items)} elements are no array of shape {shape}")
    array = np.empty(shape, np.object_)
    flat = array.reshape(-1)
    # One by one: NumPy would take sequences among them apart.
    for index, item in enumerate(items):
        flat[index] = item
    return array


def _keyed(items: list[Any]) -> dict[Any, Any]:
    keys = items[::2]
    if busiest_hash(keys) > MOST_KEYS_OF_ONE_HASH:
        raise ValueError(f"more than {MOST_KEYS_OF_ONE_HASH} keys of a dict share one hash")
    return dict(zip(keys, items[1::2], strict=True))
