"""The functions that a layout is made of, and those that these call for each leaf.

Their arguments are by position: keywords cost time where every step passes.
"""

from __future__ import annotations

import mmap
from typing import Any, Protocol, TypeAlias

import numpy.typing as npt

from rlmesh.codec.slab.violations import Deviation

__all__ = [
    "Decode",
    "Encode",
    "EncodeInto",
    "Notes",
    "Part",
    "Put",
    "Read",
    "Readable",
    "Writable",
]

Readable: TypeAlias = bytes | bytearray | memoryview | mmap.mmap
"""What a slab is read from; a memoryview is one of bytes. The reader
may keep the memory of one that shows a NumPy array."""

Writable: TypeAlias = bytearray | memoryview | mmap.mmap
"""What a slab is written into; a memoryview is one of bytes."""

Notes: TypeAlias = list[Deviation] | None
"""Takes the deviations that only the coercion can see; None where they are not wanted."""


class Part(Protocol):
    """Gives a leaf's bytes, or a contiguous array of them."""

    def __call__(self, value: Any, notes: Notes, tail: list[bytes], /) -> bytes | npt.NDArray[Any]:
        """The bytes of a value.

        Args:
            value: The leaf's value.
            notes: Takes what overflowed.
            tail: Takes what stands in the tail.

        Raises:
            Violation: If the leaf's space refuses the value.
        """
        ...


class Put(Protocol):
    """Writes a leaf into the fixed part of a slab."""

    def __call__(
        self, value: Any, buffer: Writable, base: int, notes: Notes, tail: list[bytes], /
    ) -> None:
        """Writes a value.

        Args:
            value: The leaf's value.
            buffer: Where to write it.
            base: Where the slab begins in the buffer.
            notes: Takes what overflowed.
            tail: Takes what stands in the tail.

        Raises:
            Violation: If the leaf's space refuses the value.
        """
        ...


class Read(Protocol):
    """Reads a leaf."""

    def __call__(self, buffer: Readable, base: int, tail: list[int], /) -> Any:
        """The leaf's value.

        Args:
            buffer: Where the slab stands.
            base: Where it begins in the buffer.
            tail: Where the unread part of the tail begins and where it ends; moved on.

        Raises:
            CorruptSlabError: If what stands there is no value of the leaf.
        """
        ...


class Encode(Protocol):
    """Writes a value into a new slab."""

    def __call__(self, value: Any, notes: Notes = None, /) -> bytes:
        """The slab.

        Args:
            value: What is to be sent; coerced where that is exact.
            notes: Takes the deviations that only the coercion can see.

        Raises:
            Violation: If the space refuses the value.
        """
        ...


class EncodeInto(Protocol):
    """Writes a value into a buffer."""

    def __call__(
        self, value: Any, buffer: Writable, offset: int = 0, notes: Notes = None, /
    ) -> int:
        """The number of bytes of the slab.

        Args:
            value: What is to be sent; coerced where that is exact.
            buffer: Where to write it.
            offset: Where in the buffer the slab is to begin.
            notes: Takes the deviations that only the coercion can see.

        Raises:
            Violation: If the space refuses the value; the buffer may be half written.
            BufferTooSmallError: If the slab does not fit; the buffer may be half written.
        """
        ...


class Decode(Protocol):
    """Reads a value from a slab."""

    def __call__(
        self, buffer: Readable, offset: int = 0, nbytes: int | None = None, copy: bool = True
    ) -> Any:
        """The value, in exactly the declared shapes and dtypes.

        Args:
            buffer: Where the slab stands.
            offset: Where in the buffer it begins.
            nbytes: How many bytes it has; None: up to the buffer's end.
            copy: Whether arrays are the caller's to keep and to write on; else they are read-only
                views of the buffer.

        Raises:
            CorruptSlabError: If those bytes are no slab of this layout.
        """
        ...
