"""What a space is, in few words: for tables, differences and docstrings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from rlmesh_api.contract import (
    BoxSpace,
    DictSpace,
    DiscreteSpace,
    MultiBinarySpace,
    MultiDiscreteSpace,
    Space,
    TextSpace,
    TupleSpace,
)

__all__ = ["SpaceSummary", "numbers_of", "summarize"]

# How many numbers of an array, and characters of a set, are shown before it is cut.
_SHOWN = 8
_SHOWN_CHARACTERS = 40


class SpaceSummary(NamedTuple):
    """What a space is; empty where it has no such thing.

    Attributes:
        name: The name of its class.
        shape: The shape of its values.
        dtype: The dtype of their elements.
        values: Which values it holds.
    """

    name: str
    shape: str
    dtype: str
    values: str


def summarize(space: Space) -> SpaceSummary:
    """What a space is, without the spaces in it."""
    match space:
        case BoxSpace():
            return SpaceSummary(
                "Box", str(space.shape), space.dtype.value, _range(space.low, space.high)
            )
        case DiscreteSpace():
            last = space.start + space.n - 1
            return SpaceSummary("Discrete", "()", space.dtype.value, f"{space.start} to {last}")
        case MultiBinarySpace():
            return SpaceSummary("MultiBinary", str(space.shape), "int8", "0 or 1")
        case MultiDiscreteSpace():
            pairs = zip(*_level(space.start, space.nvec), strict=True)
            ends = [start + n - 1 for start, n in pairs]
            return SpaceSummary(
                "MultiDiscrete", str(space.shape), space.dtype.value, _range(space.start, ends)
            )
        case TextSpace():
            length = f"{space.min_length} to {space.max_length} characters"
            return SpaceSummary("Text", "", "", length + _of(space.charset))
        case TupleSpace():
            return SpaceSummary("Tuple", "", "", _count(space.spaces))
        case DictSpace():
            return SpaceSummary("Dict", "", "", _count(space.entries))
        case _:
            return SpaceSummary(space.kind, "", "", "")


def numbers_of(values: Sequence[int | float]) -> str:
    """A number that stands for all, or the first of many."""
    shown = [str(v) if isinstance(v, int) else f"{v:.6g}" for v in values[:_SHOWN]]
    if len(set(values)) == 1:
        return shown[0]
    if len(values) > _SHOWN:
        shown.append(f"... {len(values) - _SHOWN} more")
    return f"[{', '.join(shown)}]"


def _count(parts: Sequence[object]) -> str:
    return f"{len(parts)} space{'s' * (len(parts) != 1)}"


def _of(charset: str | None) -> str:
    if charset is None:
        return ""
    more = f" and {len(charset) - _SHOWN_CHARACTERS} more" * (len(charset) > _SHOWN_CHARACTERS)
    return f" of {charset[:_SHOWN_CHARACTERS]!r}{more}"


def _level(*columns: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """The columns at one length; a single number holds for every element."""
    length = max(map(len, columns))
    return [column * length if len(column) == 1 else column for column in columns]


def _range(low: Sequence[int | float], high: Sequence[int | float]) -> str:
    return f"{numbers_of(low)} to {numbers_of(high)}" if low else "no elements"
