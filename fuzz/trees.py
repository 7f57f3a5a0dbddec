"""Mutations of what JSON and MessagePack hold: trees stay trees, of other values."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from functools import partial
from random import Random
from typing import Any, TypeAlias, TypeGuard

import msgpack

from rlmesh_api.v1 import value_pb2

Tree: TypeAlias = Any

_INTEGERS = (0, 1, -1, 2, 7, 127, 128, 255, 256, 2**16, 2**31, 2**32 - 1, 2**63 - 1, -(2**63))
_REALS = (0.0, -0.0, 0.5, 1e308, 5e-324, math.inf, -math.inf, math.nan)
_TEXTS = (
    "",
    "a",
    "$dict",
    "$float",
    "$tuple",
    "NaN",
    "kind",
    "ä\U0001f98a",
    "\ud800",
    "\0",
    "x" * 99,
)
_DTYPES = ("|b1", "<f4", "<f8", "<U3", "|S2", "|V8", "<M8[ns]", "<m8[7D]", "<f16", "<U99999999")
_LEAVES = (None, True, False, *_INTEGERS, *_REALS, *_TEXTS, *_DTYPES, b"", b"\0\xff")
_MANY = 300
_HEADED = (value_pb2.PACKED_EXTENSION_ARRAY, value_pb2.PACKED_EXTENSION_SCALAR)
_EXTENSIONS = tuple(value_pb2.PackedExtension.values())


def mutate_json(data: bytes, random: Random) -> bytes | None:
    """Mutates a JSON text."""
    try:
        return json.dumps(_mutated(json.loads(data), random)).encode()
    except (ValueError, TypeError, RecursionError):
        return None


def mutate_packed(data: bytes, random: Random) -> bytes | None:
    """Mutates a packed value; an empty one becomes one."""
    try:
        tree: Tree = {}
        if data:
            tree = msgpack.unpackb(data, unicode_errors="surrogatepass", strict_map_key=False)
        return msgpack.packb(_mutated(tree, random), unicode_errors="surrogatepass")
    except (ValueError, TypeError, OverflowError, RecursionError, msgpack.UnpackException):
        return None


def _mutated(tree: Tree, random: Random) -> Tree:
    """A tree with a change or two."""
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        tree = _changed(tree, random)
    return tree


def _changed(tree: Tree, random: Random) -> Tree:
    """A tree with one change, at a place that every depth is as likely to be."""
    if isinstance(tree, msgpack.ExtType) and random.random() < 0.8:
        return _changed_extension(tree, random)
    places = list(_admission(tree))
    if places and random.random() < 0.75:
        put, part = random.choice(places)
        return put(_changed(part, random))
    return random.choice(_CHANGES)(tree, random)


def _admission(tree: Tree) -> Iterator[tuple[Callable[[Tree], Tree], Tree]]:
    """The parts of a container, each with what puts another in its place."""
    if _is_list(tree):
        for index, part in enumerate(tree):
            yield partial(_with_item, tree, index), part
    elif _is_dict(tree):
        for key, part in tree.items():
            yield partial(_with_value, tree, key), part


def _with_item(items: list[Any], at: int, new: Tree) -> Tree:
    return [*items[:at], new, *items[at + 1 :]]


def _with_value(items: dict[Any, Any], at: object, new: Tree) -> Tree:
    return {**items, at: new}


def _changed_extension(tree: msgpack.ExtType, random: Random) -> Tree:
    """An extension of another kind, with another header or with other bytes."""
    code, data = tree
    chosen = random.random()
    if chosen < 0.15:
        return msgpack.ExtType(random.choice(_EXTENSIONS), data)
    if code in _HEADED and len(data) > 2 and chosen < 0.7:
        start = 2 + int.from_bytes(data[:2], "little")
        header = mutate_packed(data[2:start], random)
        if header is not None and len(header) < 1 << 16:
            return msgpack.ExtType(code, len(header).to_bytes(2, "little") + header + data[start:])
    return msgpack.ExtType(code, _other_bytes(data, random))


def _leaf(_tree: Tree, random: Random) -> Tree:
    return random.choice(_LEAVES)


def _wrapped(tree: Tree, random: Random) -> Tree:
    marker = msgpack.ExtType(
        random.choice((value_pb2.PACKED_EXTENSION_TUPLE, value_pb2.PACKED_EXTENSION_DICT)), b""
    )
    return random.choice(([tree], {"k": tree}, [marker, tree], [marker, tree, tree]))


def _other(tree: Tree, random: Random) -> Tree:
    """More or less of what is there."""
    if _is_list(tree) and tree:
        at = random.randrange(len(tree))
        return random.choice(
            (
                [*tree[:at], *tree[at + 1 :]],
                [*tree, tree[at]],
                tree[::-1],
                [*tree, *[tree[at]] * random.randrange(_MANY)],
            )
        )
    if _is_dict(tree) and tree:
        key = random.choice(list(tree))
        rest = {k: v for k, v in tree.items() if k != key}
        return random.choice((rest, {**rest, random.choice(_TEXTS): tree[key]}))
    if isinstance(tree, bytes):
        return _other_bytes(tree, random)
    if isinstance(tree, str):
        at = random.randrange(len(tree) + 1)
        return tree[:at] + random.choice(_TEXTS) + tree[at:]
    if isinstance(tree, int):
        return tree + random.choice((-1, 1, 8, tree))
    return random.choice(_LEAVES)


def _other_bytes(data: bytes, random: Random) -> bytes:
    at = random.randrange(len(data) + 1)
    return random.choice(
        (
            data[:at],
            data[:at] + random.randbytes(random.choice((1, 2, 8))) + data[at:],
            data[:at] + random.randbytes(1) + data[at + 1 :],
        )
    )


_CHANGES: tuple[Callable[[Tree, Random], Tree], ...] = (_leaf, _other, _other, _wrapped)


def _is_list(tree: Tree) -> TypeGuard[list[Any]]:
    return type(tree) is list


def _is_dict(tree: Tree) -> TypeGuard[dict[Any, Any]]:
    return type(tree) is dict
