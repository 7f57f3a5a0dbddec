"""A tree of what MessagePack knows, as bytes."""

from __future__ import annotations

import struct
from typing import Any, Final, NamedTuple

from msgpack import ExtType, Packer

from rlmesh.codec.infos.packable_types import kind_of
from rlmesh_api.v1 import value_pb2

__all__ = ["Segment", "extension", "written"]

# Makes an extension past its constructor, whose checks cost more than all the rest.
_new_tuple: Final = tuple[int | bytes, ...].__new__
_EXT_32: Final = struct.Struct(">BIb")


class Segment(NamedTuple):
    """An extension whose payload is copied once only, into the message.

    It stands at the top of a tree, or in the list or dict that does.
    """

    code: int
    size: int
    header: bytes
    elements: bytes | memoryview


def extension(code: int, payload: bytes) -> ExtType:
    """An extension."""
    return _new_tuple(ExtType, (code, payload))


def written(tree: object, *, segmented: bool = False) -> bytes:
    """The bytes of a tree.

    Args:
        tree: Values of exactly the types that MessagePack writes, extensions, and segments.
        segmented: Whether there are segments.
    """
    try:
        packer = Packer(strict_types=True, autoreset=not segmented)
        return _joined(tree, packer) if segmented else packer.pack(tree)
    except (OverflowError, UnicodeEncodeError):
        # Large integers and lone surrogates are rare: looking for them costs more than trying.
        packer = Packer(
            strict_types=True,
            autoreset=not segmented,
            unicode_errors="surrogatepass",
            default=_big_integer,
        )
        return _joined(tree, packer) if segmented else packer.pack(tree)


def _joined(tree: Any, packer: Packer) -> bytes:
    parts: list[bytes | memoryview] = []

    def put(item: Any) -> None:
        if kind_of(item) is Segment:
            parts.append(packer.bytes())
            packer.reset()
            parts.extend((_EXT_32.pack(0xC9, item.size, item.code), item.header, item.elements))
        else:
            packer.pack(item)

    kind = kind_of(tree)
    if kind is Segment:
        put(tree)
    elif kind is dict:
        packer.pack_map_header(len(tree))
        for key, item in tree.items():
            packer.pack(key)
            put(item)
    else:
        packer.pack_array_header(len(tree))
        for item in tree:
            put(item)
    parts.append(packer.bytes())
    return b"".join(parts)


def _big_integer(value: int) -> ExtType:
    payload = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return ExtType(value_pb2.PACKED_EXTENSION_BIG_INTEGER, payload)
