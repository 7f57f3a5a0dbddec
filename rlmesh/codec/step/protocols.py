"""The functions that the results of steps are written and read by.

Their arguments are by position: keywords cost time where every step passes.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

from rlmesh.codec.slab.protocols import Readable, Writable

__all__ = ["Read", "ReadAnswer", "Stepped", "Write"]

Stepped: TypeAlias = tuple[Any, Any, Any, Readable, int, int, bytes]
"""What a step gave: reward, terminated and truncated, of a vector environment as arrays with a
place for each sub-environment; where the observation's slab stands, where it begins there, how many
bytes it has; and the packed info."""


class Write(Protocol):
    """Writes a step's result around the slab of its observation, which stands there already."""

    def __call__(
        self,
        buffer: Writable,
        start: int,
        tag: bytes,
        slab_end: int,
        numbers: tuple[Any, Any, Any],
        info: bytes,
        /,
    ) -> int:
        """Where the result ends.

        Args:
            buffer: Where to write it.
            start: Where it begins; its slab begins `head` bytes later.
            tag: The tag of the field that holds it.
            slab_end: Where the slab ends; the packed info and what stands before it must fit
                behind.
            numbers: Reward, terminated and truncated; of a vector environment as arrays of float64
                and bool, shape `(num_envs,)`.
            info: The packed info; empty means an empty dict.
        """
        ...


class Read(Protocol):
    """Reads a step's result."""

    def __call__(self, buffer: Readable, start: int, end: int, tag: bytes, /) -> Stepped | None:
        """What the step gave; None where protobuf must read it.

        Args:
            buffer: Where it stands.
            start: Where its field begins.
            end: Where that ends.
            tag: The field's tag.
        """
        ...


class ReadAnswer(Protocol):
    """Reads the answer to a step."""

    def __call__(self, buffer: Readable, start: int, end: int, sequence: int, /) -> Stepped | None:
        """What the step gave; None where protobuf must read it.

        Args:
            buffer: Where the message stands.
            start: Where it begins.
            end: Where it ends.
            sequence: Its sequence.
        """
        ...
