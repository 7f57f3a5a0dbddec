"""What the extension offers, as types. Arguments are by position."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

# Signatures stand with the functions in Python that these replace.
_Function = Callable[..., Any]


class Messages(Protocol):
    """The messages of a single environment's steps; made from the tags of their fields."""

    write_action: Callable[[int, bytes], bytes]
    read_action: Callable[[bytes], tuple[int, bytes] | None]
    write_result: Callable[..., int]
    read_answer: _Function


class ArrayLeaf(Protocol):
    """The slabs of a small array; see `single_leaf`."""

    encode_into: Callable[..., int]
    decode: _Function


class ScalarLeaf(Protocol):
    """The slabs of a scalar; see `single_leaf`."""

    encode: Callable[..., bytes]
    decode: _Function


class Check(Protocol):
    """The fast check of small leaves; made from a tuple for each element, see `fast_checks`."""

    holds: Callable[..., bool]


class PlainAction(Protocol):
    """Steps with plain actions; see `rlmesh.codec.step.plain`."""

    seconds: float

    def step(self, env: Any, slab: bytes, /) -> Any:
        """What the environment's step returned or raised; this object if it was not called."""
        ...


class PlainResult(Protocol):
    """Writes plain results; see `rlmesh.codec.step.plain`."""

    write: Callable[..., int | None]


class PlainAnswer(Protocol):
    """Reads plain answers; see `rlmesh.codec.step.plain`."""

    read: Callable[..., tuple[Any, float, bool, bool, dict[str, Any]] | None]


class SegmentEnd(Protocol):
    """One side of a segment; see `segment_end`."""

    def send(self, message: bytes, /) -> bool:
        """Writes and posts a message; returns whether the other side sleeps."""
        ...

    def post(self, start: int, end: int, /) -> bool:
        """Posts what stands between two offsets; returns whether the other side sleeps."""
        ...

    def announce(self) -> bool:
        """Posts a message whose header stands there; returns whether the other side sleeps."""
        ...

    def look(self, count: int, looks: int, /) -> bool:
        """Looks for the other side's message number `count`."""
        ...

    def receive(self, count: int, looks: int, /) -> tuple[Any, int, int] | None:
        """Looks for a message, and returns it."""
        ...

    def sleeps(self, sleeps: bool, /) -> None:
        """Notes for the other side whether this one sleeps."""
        ...


class Step(Protocol):
    """The extension.

    Attributes:
        DIGEST: What says which sources it was made of.
    """

    DIGEST: str
    Messages: Callable[[bytes], Messages]
    ArrayLeaf: Callable[..., ArrayLeaf]
    ScalarLeaf: Callable[..., ScalarLeaf]
    PlainAction: Callable[[Any, Any], PlainAction]
    PlainResult: Callable[[Any, Any, Any], PlainResult]
    PlainAnswer: Callable[[Any, Any], PlainAnswer]
    Check: Callable[[tuple[tuple[int, str, float, float, bool], ...]], Check]
    SegmentEnd: Callable[..., SegmentEnd]
    is_plain: Callable[..., bool]
