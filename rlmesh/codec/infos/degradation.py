"""The limits of a packed value, and the list of what did not arrive as it was."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np

from rlmesh.codec.infos.bounded_text import text_of, type_name
from rlmesh.spaces.paths import ROOT, child_place

__all__ = ["Degradation", "Degraded", "PackingLimits", "Path", "Position", "Reason"]

Reason: TypeAlias = Literal[
    "unsupported type",
    "unsupported dtype",
    "unsupported key",
    "colliding key",
    "cycle",
    "too deep",
    "too large",
    "failed",
]
"""Why a value does not arrive as it was."""

_LONGEST_PATH: Final = 500


@dataclass(frozen=True, slots=True)
class PackingLimits:
    """What a packed value may be at most; what goes beyond becomes a text.

    Attributes:
        max_depth: Containers inside of each other.
        max_bytes: Bytes of the packed value.
        max_text: Characters of the text that a value becomes.
        max_listed: Values that are listed as degraded; the others are only counted.
    """

    max_depth: int = 64
    max_bytes: int = 64 * 2**20
    max_text: int = 1000
    max_listed: int = 256


@dataclass(frozen=True, slots=True)
class Degraded:
    """A value that did not arrive as it was.

    Attributes:
        path: Its place, `$.key[2].x`.
        type: The name of its type.
        reason: Why.
        row: In a vector environment's info: the index on the first axis of the outermost array
            that holds the value, and the length of that axis. None: no array holds it.
    """

    path: str
    type: str
    reason: Reason
    row: tuple[int, int] | None = field(default=None, compare=False)


class Position(NamedTuple):
    """The place of an element of an array: its number in C order, and the array's shape."""

    number: int
    shape: tuple[int, ...]


Path: TypeAlias = "tuple[Path, object] | None"
"""A place in a value, innermost step first: a key, an index or a `Position`. None: the whole."""


class Degradation:
    """What did not arrive as it was.

    Attributes:
        listed: The first of them.
        unlisted: How many more there are.
    """

    __slots__ = ("listed", "unlisted")

    def __init__(self) -> None:
        self.listed: list[Degraded] = []
        self.unlisted: int = 0

    def add(self, value: object, path: Path, reason: Reason, most: int = 1) -> None:
        """Lists a value, or counts it when there are enough in the list."""
        if len(self.listed) < most:
            self.listed.append(Degraded(_spelled(path), type_name(value), reason, _row(path)))
        else:
            self.unlisted += 1


def _row(path: Path) -> tuple[int, int] | None:
    row = None
    while path is not None:
        path, step = path
        if isinstance(step, Position) and step.shape:
            length = step.shape[0]
            row = step.number * length // math.prod(step.shape), length
    return row


def _spelled(path: Path) -> str:
    """A path as a user reads it, cut in the middle where it is long."""
    steps: list[object] = []
    while path is not None:
        path, step = path
        steps.append(step)
    place = ROOT
    for step in reversed(steps):
        place = _child(place, step)
    half = _LONGEST_PATH // 2
    return place if len(place) <= _LONGEST_PATH else f"{place[:half]}...{place[-half:]}"


def _child(place: str, step: object) -> str:
    kind = type(step)
    if kind is Position and isinstance(step, Position):
        where = np.unravel_index(step.number, step.shape)
        return f"{place}[{', '.join(str(index) for index in where)}]"
    if kind in (str, int) and isinstance(step, (str, int)):
        return child_place(place, step)
    return f"{place}[{text_of(step, _LONGEST_PATH)}]"
