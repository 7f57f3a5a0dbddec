"""What two spaces differ in, and whether a client feels it.

A client of the older space takes every observation of the newer one where that holds no value that
the older does not, and has every action taken where the newer holds all values of the older.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from rlmesh.contract.differences import ContractDifference, shown
from rlmesh.spaces.paths import child_place
from rlmesh.spaces.summary import summarize
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

__all__ = ["Role", "compare_spaces"]

Role = Literal["observation", "action"]


class _Values(enum.Enum):
    """What became of the values that a space holds."""

    SAME = enum.auto()
    FEWER = enum.auto()
    MORE = enum.auto()
    OTHER = enum.auto()


_HARMLESS = {
    "observation": (_Values.SAME, _Values.FEWER),
    "action": (_Values.SAME, _Values.MORE),
}


class _Change(NamedTuple):
    aspect: str
    pair: tuple[object, object]
    values: _Values = _Values.OTHER


def compare_spaces(place: str, old: Space, new: Space, role: Role) -> list[ContractDifference]:
    """What a space differs in from an older one.

    Args:
        place: Where both stand.
        old: The older space.
        new: The newer one.
        role: Whether the client receives its values or sends them.

    Returns:
        The differences in the order of the spaces' parts; none for equal spaces.
    """
    return [
        ContractDifference(
            place=where,
            aspect=change.aspect,
            old=shown(change.pair[0]),
            new=shown(change.pair[1]),
            breaking=change.values not in _HARMLESS[role],
        )
        for where, change in _changes(place, old, new)
    ]


def _changes(place: str, old: Any, new: Any) -> Iterator[tuple[str, _Change]]:
    if old.kind != new.kind:
        yield place, _Change("space", (summarize(old).name, summarize(new).name))
        return
    match old:
        case TupleSpace() if len(old.spaces) == len(new.spaces):
            for index, pair in enumerate(zip(old.spaces, new.spaces, strict=True)):
                yield from _changes(child_place(place, index), *pair)
        case TupleSpace():
            yield place, _Change("parts", (len(old.spaces), len(new.spaces)))
        case DictSpace():
            yield from _dict(place, old, new)
        case _:
            yield from ((place, change) for change in _LEAVES[old.kind](old, new))


def _dict(place: str, old: DictSpace, new: DictSpace) -> Iterator[tuple[str, _Change]]:
    before = {entry.key: entry.space for entry in old.entries}
    after = {entry.key: entry.space for entry in new.entries}
    keys = list(before), list(after)
    if before.keys() != after.keys():
        yield place, _Change("keys", keys)
    elif keys[0] != keys[1]:
        # Code that flattens or stacks the values in their order mistakes one for the other.
        yield place, _Change("order of keys", keys)
    if old.keep_order != new.keep_order:
        yield place, _Change("keep_order", (old.keep_order, new.keep_order), _Values.SAME)
    for key, space in before.items():
        if key in after:
            yield from _changes(child_place(place, key), space, after[key])


def _box(old: BoxSpace, new: BoxSpace) -> Iterator[_Change]:
    form = list(_form(old, new))
    yield from form
    if form:
        return
    dtype = old.dtype.value
    lows, highs = _pair(old.low, new.low, dtype), _pair(old.high, new.high, dtype)
    one, other = zip(lows, highs, strict=True)
    # By their bytes, for the two zeros differ in what a contract says.
    if any(a.tobytes() != b.tobytes() for a, b in zip(one, other, strict=True)):
        yield _Change("bounds", _shown(old, new), _ranges(one, other))
    below = (old.bounded_below, new.bounded_below)
    above = (old.bounded_above, new.bounded_above)
    # They decide what `sample` draws, and not what the space holds.
    if below[0] != below[1]:
        yield _Change("bounded_below", below, _Values.SAME)
    if above[0] != above[1]:
        yield _Change("bounded_above", above, _Values.SAME)


def _discrete(old: DiscreteSpace, new: DiscreteSpace) -> Iterator[_Change]:
    if old.dtype != new.dtype:
        yield _Change("dtype", (old.dtype.value, new.dtype.value))
    if (old.start, old.n) != (new.start, new.n):
        one, other = (_last(space.start, space.n) for space in (old, new))
        yield _Change("values", _shown(old, new), _ranges(one, other))


def _multi_discrete(old: MultiDiscreteSpace, new: MultiDiscreteSpace) -> Iterator[_Change]:
    form = list(_form(old, new))
    yield from form
    if not form and (old.start, old.nvec) != (new.start, new.nvec):
        # As Python's own integers, which do not overflow.
        starts, counts = _pair(old.start, new.start, object), _pair(old.nvec, new.nvec, object)
        one, other = (_last(*pair) for pair in zip(starts, counts, strict=True))
        yield _Change("values", _shown(old, new), _ranges(one, other))


def _multi_binary(old: MultiBinarySpace, new: MultiBinarySpace) -> Iterator[_Change]:
    if old.shape != new.shape:
        yield _Change("shape", (old.shape, new.shape))
    elif old.flat != new.flat:
        yield _Change("flat", (old.flat, new.flat), _Values.SAME)


def _text(old: TextSpace, new: TextSpace) -> Iterator[_Change]:
    one, other = ((space.min_length, space.max_length) for space in (old, new))
    if one != other:
        lengths = (f"{one[0]} to {one[1]}", f"{other[0]} to {other[1]}")
        yield _Change("length", lengths, _ranges(one, other))
    if old.charset != new.charset:
        charsets = (_charset(old), _charset(new))
        yield _Change("charset", charsets, _characters(old.charset, new.charset))


def _charset(space: TextSpace) -> str:
    return "any character" if space.charset is None else repr(space.charset)


def _form(
    old: BoxSpace | MultiDiscreteSpace, new: BoxSpace | MultiDiscreteSpace
) -> Iterator[_Change]:
    if old.dtype != new.dtype:
        yield _Change("dtype", (old.dtype.value, new.dtype.value))
    if old.shape != new.shape:
        yield _Change("shape", (old.shape, new.shape))


def _pair(
    old: tuple[Any, ...], new: tuple[Any, ...], dtype: npt.DTypeLike
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """The numbers of two spaces, as many of each: one where one holds for all, however many."""
    width = max(len(old), len(new))
    one, other = (
        np.array(numbers * width if len(numbers) == 1 else numbers, dtype) for numbers in (old, new)
    )
    return one, other


def _last(start: Any, n: Any) -> tuple[Any, Any]:
    return start, start + n - 1


def _shown(old: Space, new: Space) -> tuple[str, str]:
    return summarize(old).values, summarize(new).values


def _ranges(old: tuple[Any, Any], new: tuple[Any, Any]) -> _Values:
    """What became of the numbers between a lower and an upper end, element for element."""
    fewer = bool(np.all(new[0] >= old[0]) and np.all(new[1] <= old[1]))
    more = bool(np.all(new[0] <= old[0]) and np.all(new[1] >= old[1]))
    return _values(fewer=fewer, more=more)


def _characters(old: str | None, new: str | None) -> _Values:
    one, other = (None if charset is None else set(charset) for charset in (old, new))
    return _values(
        fewer=one is None or (other is not None and other <= one),
        more=other is None or (one is not None and other >= one),
    )


def _values(*, fewer: bool, more: bool) -> _Values:
    if fewer and more:
        return _Values.SAME
    return _Values.FEWER if fewer else _Values.MORE if more else _Values.OTHER


_LEAVES: dict[str, Any] = {
    BoxSpace.kind: _box,
    DiscreteSpace.kind: _discrete,
    MultiBinarySpace.kind: _multi_binary,
    MultiDiscreteSpace.kind: _multi_discrete,
    TextSpace.kind: _text,
}
