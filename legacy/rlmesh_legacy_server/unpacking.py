"""Bytes of a packed value back to the value. `PackedExtension` in value.proto says what they are.

MessagePack, with extensions for what it lacks. Executes nothing, whatever the bytes are.
"""

from __future__ import annotations

import struct
from collections import Counter
from typing import Any, Iterable

import numpy as np

TUPLE, BIG_INTEGER, ARRAY, SCALAR, OBJECT_ARRAY, KEYED = 1, 2, 3, 4, 5, 6
"""The extensions."""

MOST_KEYS_OF_ONE_HASH = 64
"""More keys of one hash make a dict slow, so nobody sends or takes them."""

_MOST_VALUES = 1 << 20
# Python calls itself for each level.
_DEEPEST = 200
_NUMBERS = {0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q"}
_NUMBERS.update({0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q"})
# By first byte: what it begins, and how its length stands after it.
_LONG = {0xC4: ("bytes", ">B"), 0xC5: ("bytes", ">H"), 0xC6: ("bytes", ">I")}
_LONG.update({0xD9: ("str", ">B"), 0xDA: ("str", ">H"), 0xDB: ("str", ">I")})
_LONG.update({0xC7: ("ext", ">B"), 0xC8: ("ext", ">H"), 0xC9: ("ext", ">I")})
_LONG.update({0xDC: ("list", ">H"), 0xDD: ("list", ">I")})
_LONG.update({0xDE: ("map", ">H"), 0xDF: ("map", ">I")})
_FIXED_EXT = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}
_CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}


class PackingError(ValueError):
    """Bytes that are no packed value."""


def is_plain_dtype(text: str) -> bool:
    """Whether a dtype has a form on the wire that this server reads and writes."""
    kind, size = text[:2], text[2:]
    if kind in ("<U", "|S"):
        return size.isdigit() and 0 < int(size) < 10**8
    if kind in ("<m", "<M"):
        return size == "8" or (size.startswith("8[") and size.endswith("]"))
    known = {"|b": "1", "|i": "1", "|u": "1", "<i": "248", "<u": "248", "<f": "248"}
    return (len(size) == 1 and size in known.get(kind, "")) or text in ("<c8", "<c16")


def unpack(data: bytes) -> Any:
    """Reads one packed value.

    Raises:
        PackingError: If the bytes are anything else, or hold more than 1048576 values.
    """
    reader = _Reader(data)
    try:
        value = reader.read(0)
    except PackingError:
        raise
    except (ArithmeticError, LookupError, MemoryError, TypeError, ValueError, struct.error) as e:
        raise PackingError(f"{len(data)} bytes are no packed value: {e}") from e
    if type(value) is _Marker or reader.at != len(data):
        raise PackingError(f"{len(data)} bytes are no packed value: something stands by itself")
    return value


class _Marker:
    """The first element of an array that stands for another container."""

    def __init__(self, code: int, payload: bytes) -> None:
        self.code, self.payload = code, payload


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.at, self.left = data, 0, _MOST_VALUES

    def take(self, count: int) -> bytes:
        part = self.data[self.at : self.at + count]
        if len(part) != count:
            raise ValueError("they end too soon")
        self.at += count
        return part

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def read(self, depth: int, *, first: bool = False) -> Any:  # noqa: C901 - a table of heads
        """Reads a value; `first`: the first element of an array, which may be a marker."""
        head = self.take(1)[0]
        if head < 0x80 or head >= 0xE0:
            return head if head < 0x80 else head - 0x100
        if head in _CONSTANTS:
            return _CONSTANTS[head]
        if head in _NUMBERS:
            return self.number(_NUMBERS[head])
        if head in _FIXED_EXT:
            return self.extension(_FIXED_EXT[head], first=first)
        if head < 0x90:
            return self.mapping(head & 0x0F, depth)
        if head < 0xA0:
            return self.sequence(head & 0x0F, depth)
        if head < 0xC0:
            return self.text(head & 0x1F)
        kind, form = _LONG[head]
        count = self.number(form)
        if kind == "bytes":
            return self.take(count)
        if kind == "str":
            return self.text(count)
        if kind == "ext":
            return self.extension(count, first=first)
        return (self.mapping if kind == "map" else self.sequence)(count, depth)

    def text(self, count: int) -> str:
        return self.take(count).decode("utf-8", "surrogatepass")

    def enter(self, count: int, depth: int) -> None:
        self.left -= count
        if self.left < 0:
            raise PackingError(f"they hold more than {_MOST_VALUES} values; send arrays instead")
        if depth >= _DEEPEST:
            raise PackingError(f"they are nested more than {_DEEPEST} deep")

    def mapping(self, count: int, depth: int) -> dict[Any, Any]:
        self.enter(2 * count, depth)
        found = {}
        for _ in range(count):
            key = self.read(depth + 1)
            if type(key) not in (str, bytes):
                raise ValueError("a key is neither a text nor bytes")
            found[key] = self.read(depth + 1)
        return found

    def sequence(self, count: int, depth: int) -> Any:
        self.enter(count, depth)
        items = [self.read(depth + 1, first=not index) for index in range(count)]
        if not items or type(items[0]) is not _Marker:
            return items
        marker = items.pop(0)
        if marker.code == OBJECT_ARRAY:
            array = np.empty(_lengths(unpack(marker.payload)), object)
            if array.size != len(items):
                raise ValueError(f"{len(items)} elements are no array of shape {array.shape}")
            flat = array.reshape(-1)
            for index, item in enumerate(items):
                flat[index] = item
            return array
        if marker.payload or (marker.code == KEYED and len(items) % 2):
            raise ValueError(f"the marker {marker.code} does not fit what follows it")
        if marker.code == TUPLE:
            return tuple(items)
        if busiest_hash(items[::2]) > MOST_KEYS_OF_ONE_HASH:
            raise ValueError(f"more than {MOST_KEYS_OF_ONE_HASH} keys of a dict share one hash")
        return dict(zip(items[::2], items[1::2]))

    def extension(self, count: int, *, first: bool) -> Any:
        code, payload = self.number(">b"), self.take(count)
        if code == BIG_INTEGER:
            return int.from_bytes(payload, "little", signed=True)
        if code in (ARRAY, SCALAR):
            return _array(payload, scalar=code == SCALAR)
        if first and code in (TUPLE, OBJECT_ARRAY, KEYED):
            return _Marker(code, payload)
        raise ValueError(f"an extension {code} does not stand here")


def _array(payload: bytes, *, scalar: bool) -> Any:
    start = 2 + int.from_bytes(payload[:2], "little")
    header = unpack(payload[2:start])
    text, shape = header[0], _lengths(header[1:])
    if type(text) is not str or not is_plain_dtype(text):
        raise ValueError(f"{text!r:.80} is no dtype that this server takes from the wire")
    elements = payload[start:]
    if scalar and text[1] in "US":
        # As NumPy's dtypes have it, zeros at the end would be lost.
        return np.str_(elements.decode("utf-32-le")) if text[1] == "U" else np.bytes_(elements)
    array: Any = np.frombuffer(elements, np.dtype(text)).copy()
    if text == "|b1" and elements.translate(None, b"\0\1"):
        raise ValueError("a bool is one byte, 0 or 1")
    if text[1] == "U" and array.size and int(array.view("<u4").max()) > 0x10FFFF:
        raise ValueError("a text holds what is no code point")
    if scalar and (shape or array.size != 1):
        raise ValueError("a scalar has no axes and one element")
    return array[0] if scalar else array.reshape(shape)


def _lengths(axes: Any) -> tuple[int, ...]:
    if type(axes) is not list or not all(type(axis) is int and axis >= 0 for axis in axes):
        raise ValueError(f"the lengths of axes are {axes!r:.80}")
    return tuple(axes)


def busiest_hash(keys: Iterable[Any]) -> int:
    """How many of these keys share one hash at most."""
    counts: list[int] = list(Counter(map(hash, keys)).values())
    return max(counts) if counts else 0
