"""Infos, frames and attributes as bytes, and the list of what could not travel.

`PackedExtension` in value.proto says what the bytes are. What cannot travel becomes its text.
"""

from __future__ import annotations

import struct
from typing import Any, Mapping, NamedTuple

import numpy as np

from rlmesh_legacy_server.texts import child_place, text_of, typename
from rlmesh_legacy_server.unpacking import (
    ARRAY,
    BIG_INTEGER,
    KEYED,
    MOST_KEYS_OF_ONE_HASH,
    OBJECT_ARRAY,
    SCALAR,
    TUPLE,
    busiest_hash,
    is_plain_dtype,
)

INFO_DEGRADED = "rlmesh.info.degraded"
_MOST_DEPTH, _MOST_BYTES, _MOST_LISTED, _LONGEST_PATH = 64, 64 << 20, 256, 500
_FRAME_BYTES = (1 << 30) - (1 << 20)
_LEAVES = (type(None), bool, int, float, str, bytes)
# Subclasses are packed as what they derive from, past any method that they override.
_BASES: tuple[tuple[type, Any], ...] = (
    (tuple, lambda value: tuple.__getitem__(value, slice(None))),
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
    (bytes, lambda value: bytes.__getitem__(value, slice(None))),
    (dict, lambda value: dict(dict.items(value))),
    (list, list.copy),
    (bytearray, bytes),
    (memoryview, bytes),
    (np.ndarray, np.asarray),
)


class Degraded(NamedTuple):
    """A value that did not arrive as it was: its place, its type, why, and its sub-environment."""

    path: str
    type: str
    reason: str
    env_index: int | None


class _Position(NamedTuple):
    """The place of an element of an array: its number in C order, and the array's shape."""

    number: int
    shape: tuple[int, ...]


_Path = Any  # None, or the path of the container and the step into it


def pack(value: object) -> tuple[bytes, list[Degraded]]:
    """Packs any object, and lists what became a text."""
    packer = _packed(value, None, _FRAME_BYTES)
    return bytes(packer.out), packer.degraded


def pack_info(info: Mapping[Any, Any] | None, num_envs: int | None) -> tuple[bytes, list[Degraded]]:
    """Packs an info; what became a text is listed in it under `rlmesh.info.degraded`.

    Args:
        info: What the environment returned.
        num_envs: The number of sub-environments of a vector environment, whose list then has the
            form of its infos; None for a single environment.
    """
    if not info:
        return b"", []
    contents = info if isinstance(info, dict) else dict(info)
    packer = _packed(contents, num_envs, _MOST_BYTES)
    if packer.degraded:
        listed = packer.degraded
        extended = {**contents, **_listing(packer, num_envs)}
        # Once more, with the list: rare, and the logs say what to mend.
        packer = _packed(extended, num_envs, _MOST_BYTES)
        return bytes(packer.out), listed
    return bytes(packer.out), []


def _listing(packer: _Packer, num_envs: int | None) -> dict[str, Any]:
    more = packer.unlisted
    rest = [{"path": "$", "type": "", "reason": f"{more} more"}] if more else []
    entries = [
        ({"path": each.path, "type": each.type, "reason": each.reason}, each.env_index)
        for each in packer.degraded
    ]
    if num_envs is None:
        return {INFO_DEGRADED: [entry for entry, _ in entries] + rest}
    lists = np.full(num_envs, None)
    for index in range(num_envs):
        mine = [entry for entry, env_index in entries if env_index in (None, index)] + rest
        lists[index] = mine or None
    mask = np.array([listing is not None for listing in lists])
    return {INFO_DEGRADED: lists, f"_{INFO_DEGRADED}": mask}


def _packed(value: object, num_envs: int | None, most: int) -> _Packer:
    packer = _Packer(num_envs, most)
    try:
        packer.put(value, 1, None)
    except Exception:  # noqa: BLE001 - an info never fails a step; what happened is in the list
        packer = _Packer(num_envs, most)
        packer.degrade(value, None, "failed")
    return packer


class _Packer:
    """Packs one value into `out`."""

    def __init__(self, num_envs: int | None, most: int) -> None:
        self.out = bytearray()
        self.degraded: list[Degraded] = []
        self.unlisted = 0
        self._num_envs, self._most = num_envs, most
        # The containers around the present value, by identity: these objects are alive.
        self._around: set[int] = set()

    def put(self, value: Any, depth: int, path: _Path) -> None:
        kind = type(value)
        if kind in _LEAVES:
            self._leaf(value, path)
        elif kind in (dict, list, tuple) or (kind is np.ndarray and value.dtype.kind == "O"):
            self._container(value, depth, path)
        elif kind is np.ndarray:
            self._array(value, ARRAY, path)
        elif issubclass(kind, np.ma.MaskedArray):
            self.degrade(value, path, "unsupported type")
        elif issubclass(kind, np.generic):
            self._array(value, SCALAR, path)
        else:
            self._other(value, depth, path)

    def degrade(self, value: object, path: _Path, reason: str) -> None:
        """Lists a value that cannot travel, and packs its text."""
        if len(self.degraded) < _MOST_LISTED:
            where = _spelled(path), typename(value), reason, _env_index(path, self._num_envs)
            self.degraded.append(Degraded(*where))
        else:
            self.unlisted += 1
        text = text_of(value).encode("utf-8", "surrogatepass")
        self._text(text if self._fits(len(text)) else b"...")

    def _fits(self, size: int) -> bool:
        return len(self.out) + size <= self._most

    def _leaf(self, value: Any, path: _Path) -> None:
        out = self.out
        if value is None or value is True or value is False:
            out.append(0xC0 if value is None else 0xC3 if value else 0xC2)
        elif type(value) is int:
            self._int(value)
        elif type(value) is float:
            out += struct.pack(">Bd", 0xCB, value)
        else:
            data = value if type(value) is bytes else value.encode("utf-8", "surrogatepass")
            if not self._fits(len(data)):
                self.degrade(value, path, "too large")
            elif type(value) is str:
                self._text(data)
            else:
                self._head(len(data), None, (0xC4, 0xC5, 0xC6))
                out += data

    def _text(self, data: bytes) -> None:
        self._head(len(data), (0xA0, 32), (0xD9, 0xDA, 0xDB))
        self.out += data

    def _int(self, value: int) -> None:
        if -32 <= value < 128:
            self.out.append(value & 0xFF)
            return
        codes = ">B", ">H", ">I", ">Q"
        for index, code in enumerate(codes):
            bits = 8 << index
            if 0 <= value < 1 << bits:
                self.out += bytes([0xCC + index]) + struct.pack(code, value)
                return
            if value < 0 and -(1 << (bits - 1)) <= value:
                self.out += bytes([0xD0 + index]) + struct.pack(code.lower(), value)
                return
        payload = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
        self._extension(BIG_INTEGER, payload)

    def _head(
        self, count: int, fix: tuple[int, int] | None, heads: tuple[int | None, int, int]
    ) -> None:
        """What stands before something of a length, in the shortest form."""
        short, middle, long = heads
        if fix is not None and count < fix[1]:
            self.out.append(fix[0] | count)
        elif short is not None and count < 1 << 8:
            self.out += bytes([short, count])
        elif count < 1 << 16:
            self.out += struct.pack(">BH", middle, count)
        else:
            self.out += struct.pack(">BI", long, count)

    def _extension(self, code: int, *payload: bytes) -> None:
        size = sum(map(len, payload))
        fixed = {1: 0xD4, 2: 0xD5, 4: 0xD6, 8: 0xD7, 16: 0xD8}.get(size)
        if fixed is not None:
            self.out.append(fixed)
        else:
            self._head(size, None, (0xC7, 0xC8, 0xC9))
        self.out.append(code)
        for part in payload:
            self.out += part

    def _array(self, value: Any, code: int, path: _Path) -> None:
        if not self._fits(value.nbytes):
            self.degrade(value, path, "too large")
            return
        if type(value) is np.str_:
            text, elements = f"<U{len(value)}", value.encode("utf-32-le", "surrogatepass")
        elif type(value) is np.bytes_:
            text, elements = f"|S{len(value)}", bytes(value)
        else:
            little = value.dtype.newbyteorder("<")
            text = little.str
            if value.dtype.fields is not None or not is_plain_dtype(text):
                self.degrade(value, path, "unsupported dtype")
                return
            elements = np.asarray(value).astype(little, copy=False).tobytes()
        header = _Packer(None, self._most)
        header.put([text, *value.shape], 1, None)
        self._extension(code, len(header.out).to_bytes(2, "little"), bytes(header.out), elements)

    def _container(self, value: Any, depth: int, path: _Path) -> None:
        kind = type(value)
        count = value.size if kind is np.ndarray else len(value)
        reason = (
            "too deep"
            if depth > _MOST_DEPTH
            else "cycle"
            if id(value) in self._around
            else ""
            if self._fits(32 + count)
            else "too large"
        )
        if reason:
            self.degrade(value, path, reason)
            return
        self._around.add(id(value))
        if kind is dict:
            self._dict(value, depth, path)
        elif kind is np.ndarray:
            axes = _Packer(None, self._most)
            axes.put(list(value.shape), 1, None)
            self._begin(count, OBJECT_ARRAY, bytes(axes.out))
            for index, item in enumerate(value.ravel().tolist()):
                self.put(item, depth + 1, (path, _Position(index, value.shape)))
        else:
            if kind is tuple:
                self._begin(count, TUPLE, b"")
            else:
                self._head(count, (0x90, 16), (None, 0xDC, 0xDD))
            for index, item in enumerate(value):
                self.put(item, depth + 1, (path, index))
        self._around.discard(id(value))

    def _begin(self, count: int, code: int, payload: bytes) -> None:
        """The head of an array that stands for another container, and its marker."""
        self._head(count + 1, (0x90, 16), (None, 0xDC, 0xDD))
        self._extension(code, payload)

    def _dict(self, value: dict[Any, Any], depth: int, path: _Path) -> None:
        keys = [_sent_key(key, _MOST_DEPTH - depth) for key in value]
        if busiest_hash(keys) > MOST_KEYS_OF_ONE_HASH:
            keys = [key if type(key) in (str, bytes) else None for key in keys]
            keys = [_UNSENDABLE if key is None else key for key in keys]
        # A key that arrives as it is keeps its place before those that only come to resemble it.
        taken = {sent for sent, key in zip(keys, value) if sent is key}
        plain = True
        texts: list[tuple[Any, Any, str]] = []
        for index, key in enumerate(value):
            if keys[index] is not key:
                if keys[index] is _UNSENDABLE or keys[index] in taken:
                    reason = "unsupported" if keys[index] is _UNSENDABLE else "colliding"
                    texts.append((key, (path, key), f"{reason} key"))
                    text, number = text_of(key), 1
                    keys[index] = text
                    while keys[index] in taken:
                        number += 1
                        keys[index] = f"{text} ({number})"
                taken.add(keys[index])
            plain = plain and type(keys[index]) in (str, bytes)
        for key, where, reason in texts:
            kept = len(self.out)
            self.degrade(key, where, reason)  # listed; its text stands in `keys`
            del self.out[kept:]
        if plain:
            self._head(len(keys), (0x80, 16), (None, 0xDE, 0xDF))
        else:
            self._begin(2 * len(keys), KEYED, b"")
        for sent, (key, item) in zip(keys, value.items()):
            self.put(sent, depth + 1, path)
            self.put(item, depth + 1, (path, key))

    def _other(self, value: Any, depth: int, path: _Path) -> None:
        """A subclass of a type that travels, an array of another library, or what cannot travel."""
        plain: Any = None
        found = next((contents for base, contents in _BASES if isinstance(value, base)), None)
        if found is not None:
            plain = found(value)
        elif hasattr(type(value), "__array__"):
            try:
                array = np.asarray(value)
            except BaseException:  # noqa: BLE001 - foreign code may raise anything
                array = np.array(None)
            # Of objects NumPy makes an array of anything, so that says nothing.
            plain = None if array.dtype.kind == "O" else array if array.ndim else array[()]
        if plain is None:
            self.degrade(value, path, "unsupported type")
        elif id(value) in self._around:
            self.degrade(value, path, "cycle")
        else:
            self._around.add(id(value))
            self.put(plain, depth, path)
            self._around.discard(id(value))


_UNSENDABLE: Any = object()


def _sent_key(key: Any, depth: int) -> Any:
    """A key as it arrives, the same object where it does not change; or `_UNSENDABLE`."""
    kind = type(key)
    if kind in _LEAVES:
        return key
    if kind is tuple:
        parts = [_sent_key(part, depth - 1) for part in key] if depth > 0 else [_UNSENDABLE]
        if any(part is _UNSENDABLE for part in parts):
            return _UNSENDABLE
        return key if all(a is b for a, b in zip(parts, key)) else tuple(parts)
    if issubclass(kind, np.generic):
        plain = is_plain_dtype(key.dtype.newbyteorder("<").str)
        return key if plain and key.dtype.fields is None else _UNSENDABLE
    for base, contents in _BASES[:5]:
        if issubclass(kind, base):
            return _sent_key(contents(key), depth)
    return _UNSENDABLE


def _env_index(path: _Path, num_envs: int | None) -> int | None:
    """The sub-environment of a place: the index on the first axis of the outermost array."""
    row = None
    while path is not None:
        path, step = path
        if type(step) is _Position and step.shape and step.shape[0] == num_envs:
            row = step.number // max(1, int(np.prod(step.shape[1:], dtype=np.int64)))
        elif type(step) is _Position and step.shape:
            row = None
    return row


def _spelled(path: _Path) -> str:
    steps: list[Any] = []
    while path is not None:
        path, step = path
        steps.append(step)
    place = "$"
    for step in reversed(steps):
        if type(step) is _Position:
            where = np.unravel_index(step.number, step.shape) if step.shape else ()
            place += f"[{', '.join(str(index) for index in where)}]"
        elif type(step) in (str, int):
            place = child_place(place, step)
        else:
            place += f"[{text_of(step, _LONGEST_PATH)}]"
    half = _LONGEST_PATH // 2
    return place if len(place) <= _LONGEST_PATH else f"{place[:half]}...{place[-half:]}"
