"""Texts in a slab: their lengths in the fixed part, their UTF-8 in the tail.

Lone surrogates, which a Python text may hold, travel as "surrogatepass" writes them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from rlmesh.codec.infos.type_guards import is_array, is_row
from rlmesh.codec.slab.leaves import Leaf
from rlmesh.codec.slab.protocols import Notes, Put, Read, Readable, Writable
from rlmesh.codec.slab.violations import CorruptSlabError, Violation, typename

__all__ = ["compile_text_part", "compile_text_put", "compile_text_read"]

_LONGEST = 2**32 - 1


def compile_text_part(leaf: Leaf) -> Callable[[Any, Notes, list[bytes]], bytes]:
    """Compiles what gives the lengths of a leaf's texts, and adds the texts to the tail."""
    pack = struct.Struct(f"<{leaf.count}I").pack

    def part(value: Any, _notes: Notes, tail: list[bytes], /) -> bytes:
        data = _encode(value, leaf, None)
        tail.append(data)
        return pack(len(data))

    def part_of_sub_envs(value: Any, _notes: Notes, tail: list[bytes], /) -> bytes:
        data = [
            _encode(text, leaf, env_index)
            for env_index, text in enumerate(_sub_envs_of(value, leaf))
        ]
        tail += data
        return pack(*map(len, data))

    return part if leaf.num_envs is None else part_of_sub_envs


def compile_text_put(leaf: Leaf) -> Put:
    """Compiles what writes the lengths of a leaf's texts, and adds the texts to the tail."""
    part, offset, end = compile_text_part(leaf), leaf.offset, leaf.end

    def put(value: Any, buffer: Writable, base: int, notes: Notes, tail: list[bytes], /) -> None:
        buffer[base + offset : base + end] = part(value, notes, tail)

    return put


def compile_text_read(leaf: Leaf) -> Read:
    """Compiles what reads the texts of a leaf: a str, or a tuple with one per sub-environment."""
    path, offset = leaf.path, leaf.offset
    unpack_from = struct.Struct(f"<{leaf.count}I").unpack_from

    def read(buffer: Readable, base: int, tail: list[int], /) -> str:
        return _decode(buffer, unpack_from(buffer, base + offset)[0], tail, path)

    def read_sub_envs(buffer: Readable, base: int, tail: list[int], /) -> tuple[str, ...]:
        lengths = unpack_from(buffer, base + offset)
        return tuple([_decode(buffer, length, tail, path) for length in lengths])

    return read if leaf.num_envs is None else read_sub_envs


def _encode(text: Any, leaf: Leaf, env_index: int | None) -> bytes:
    if not isinstance(text, str):
        raise Violation("type", leaf.path, env_index, f"expected a str, got {typename(text)}")
    data = text.encode("utf-8", "surrogatepass")
    if len(data) > _LONGEST:
        detail = f"expected a text of up to {_LONGEST} bytes of UTF-8, got {len(data)}"
        raise Violation("length", leaf.path, env_index, detail)
    return data


def _decode(buffer: Readable, length: int, tail: list[int], path: str) -> str:
    start, end = tail
    stop = start + length
    if stop > end:
        raise CorruptSlabError(f"{path}: expected a text of {length} bytes, got {end - start}")
    tail[0] = stop
    try:
        return str(buffer[start:stop], "utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise CorruptSlabError(f"{path}: expected a text in UTF-8, got {error}") from error


def _sub_envs_of(value: Any, leaf: Leaf) -> list[Any] | tuple[Any, ...]:
    expected = f"expected a tuple of {leaf.num_envs} texts, one for each sub-environment"
    if is_array(value) and value.ndim == 1:
        value = value.tolist()
    if not is_row(value):
        raise Violation("structure", leaf.path, None, f"{expected}, got {typename(value)}")
    if len(value) != leaf.num_envs:
        raise Violation("structure", leaf.path, None, f"{expected}, got {len(value)}")
    return value
