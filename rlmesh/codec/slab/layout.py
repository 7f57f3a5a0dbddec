"""The layout of a space: how its values stand in a slab, compiled once from the contract.

A slab is a fixed part and a tail. The leaves of the space stand in the fixed part, in declared
order, little-endian, each at the next multiple of 8, with the sub-environment axis first on a
vector endpoint; a text leaf stands there as the lengths of its texts, and their UTF-8 follows in
the tail, leaf after leaf, sub-environment after sub-environment. What stands between leaves means
nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rlmesh.codec.slab.arrays import (
    MOST_KEPT,
    SMALL,
    compile_kept,
    compile_part,
    compile_put,
    compile_read,
    compile_view,
    is_left,
)
from rlmesh.codec.slab.leaves import Leaf, arrange
from rlmesh.codec.slab.protocols import (
    Decode,
    Encode,
    EncodeInto,
    Notes,
    Part,
    Put,
    Read,
    Readable,
    Writable,
)
from rlmesh.codec.slab.single_leaf import (
    compile_single_decode,
    compile_single_encode,
    compile_single_encode_into,
)
from rlmesh.codec.slab.structure import Assemble, Flatten, compile_assemble, compile_flatten
from rlmesh.codec.slab.texts import compile_text_part, compile_text_put, compile_text_read
from rlmesh.codec.slab.violations import (
    BufferTooSmallError,
    CorruptSlabError,
    Deviation,
    Violation,
    wrong_length,
)
from rlmesh_api.contract import DictSpace, Space, TextSpace, TupleSpace

__all__ = [
    "BufferTooSmallError",
    "CorruptSlabError",
    "Decode",
    "Deviation",
    "Encode",
    "EncodeInto",
    "Layout",
    "Readable",
    "Violation",
    "Writable",
    "compile_layout",
]


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """How the values of a space stand in a slab.

    Attributes:
        size: The bytes of the fixed part; of the slab where there is no text.
        has_text: Whether a tail follows.
        leaves: The leaves in declared order.
        encode: Writes a value into a new slab.
        encode_into: Writes a value into a given buffer.
        decode: Reads a value from a slab.
    """

    size: int
    has_text: bool
    leaves: tuple[Leaf, ...]
    encode: Encode = field(repr=False)
    encode_into: EncodeInto = field(repr=False)
    decode: Decode = field(repr=False)


def compile_layout(space: Space, num_envs: int | None = None) -> Layout:
    """Compiles the layout of a space.

    Args:
        space: The space of one sub-environment.
        num_envs: The number of sub-environments of a vector endpoint, whose value is an element of
            Gymnasium's batched space; None for a single endpoint.
    """
    leaves = arrange(space, num_envs)
    size = leaves[-1].end if leaves else 0
    if isinstance(space, TextSpace | TupleSpace | DictSpace):
        flatten, assemble = compile_flatten(space), compile_assemble(space)
        encode = _compile_encode(leaves, flatten)
        encode_into = _compile_encode_into(leaves, size, flatten)
        decode = _compile_decode(leaves, size, assemble)
    else:
        encode = compile_single_encode(leaves[0])
        encode_into = compile_single_encode_into(leaves[0])
        decode = compile_single_decode(leaves[0])
    has_text = any(_is_text(leaf) for leaf in leaves)
    return Layout(size, has_text, leaves, encode, encode_into, decode)


def _compile_encode(leaves: tuple[Leaf, ...], flatten: Flatten) -> Encode:
    template: list[Any] = []
    steps: list[tuple[int, int, Part]] = []
    end = 0
    for index, leaf in enumerate(leaves):
        if leaf.offset > end:
            template.append(bytes(leaf.offset - end))
        steps.append((index, len(template), _part(leaf)))
        template.append(b"")
        end = leaf.end

    def encode(value: Any, notes: Notes = None, /) -> bytes:
        chunks = template.copy()
        tail: list[bytes] = []
        items = flatten(value)
        for index, chunk, part in steps:
            chunks[chunk] = part(items[index], notes, tail)
        chunks += tail
        return b"".join(chunks)

    return encode


def _compile_encode_into(leaves: tuple[Leaf, ...], size: int, flatten: Flatten) -> EncodeInto:
    puts = list(enumerate([_put(leaf) for leaf in leaves]))

    def encode_into(value: Any, buffer: Writable, offset: int = 0, notes: Notes = None, /) -> int:
        available = len(buffer) - offset
        if available < size:
            raise BufferTooSmallError(size, available)
        tail: list[bytes] = []
        items = flatten(value)
        for index, put in puts:
            put(items[index], buffer, offset, notes, tail)
        if not tail:
            return size
        texts = b"".join(tail)
        needed = size + len(texts)
        if available < needed:
            raise BufferTooSmallError(needed, available)
        buffer[offset + size : offset + needed] = texts
        return needed

    return encode_into


def _compile_decode(leaves: tuple[Leaf, ...], size: int, assemble: Assemble) -> Decode:
    reads = [_read(leaf, compile_read) for leaf in leaves]
    views = [_read(leaf, compile_view) for leaf in leaves]
    # The caller may keep a leaf and drop the rest.
    keeps = [
        _read(leaf, compile_kept if leaf.nbytes * MOST_KEPT >= size else compile_read)
        for leaf in leaves
    ]

    def decode(
        buffer: Readable, offset: int = 0, nbytes: int | None = None, copy: bool = True
    ) -> Any:
        available = len(buffer) - offset
        length = available if nbytes is None else nbytes
        if not size <= length <= available:
            raise wrong_length(size, min(length, available))
        tail = [offset + size, offset + length]
        owned = keeps if length > SMALL and is_left(buffer, length) else reads
        value = assemble([read(buffer, offset, tail) for read in (owned if copy else views)])
        if tail[0] != tail[1]:
            raise wrong_length(tail[0] - offset, length)
        return value

    return decode


def _is_text(leaf: Leaf) -> bool:
    return isinstance(leaf.space, TextSpace)


def _part(leaf: Leaf) -> Part:
    return compile_text_part(leaf) if _is_text(leaf) else compile_part(leaf)


def _put(leaf: Leaf) -> Put:
    return compile_text_put(leaf) if _is_text(leaf) else compile_put(leaf)


def _read(leaf: Leaf, compile_numeric: Callable[[Leaf], Read]) -> Read:
    return compile_text_read(leaf) if _is_text(leaf) else compile_numeric(leaf)
