"""What the functions that make steps share: places, words, numbers, names."""

from __future__ import annotations

import numbers
import reprlib
from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np

from rlmesh.codec.infos.type_guards import is_row
from rlmesh.errors import ArgumentTypeError, InvalidArgumentError
from rlmesh_api._enums import StrEnum
from rlmesh_api.contract import AdapterFlow, AdapterOperation, AdapterStep

__all__ = [
    "Flow",
    "Numbers",
    "Place",
    "make",
    "number",
    "read_text",
    "read_texts",
    "reals",
    "whole",
    "word",
]

Place: TypeAlias = str | int | Sequence[str | int]
"""Where a value stands: a key, an index of a `Tuple`, or several of them on the way down."""

Flow: TypeAlias = Literal["observation", "action"]
"""Which values a step changes."""

Numbers: TypeAlias = Any
"""A number, or an array of one axis or a sequence of numbers."""

E = TypeVar("E", bound=StrEnum)


def make(operation: AdapterOperation, at: Place, on: Flow) -> AdapterStep:
    """The step of an operation.

    Raises:
        ArgumentTypeError: If the place is none.
        InvalidArgumentError: If it is not said whether observations or actions are changed, or the
            operation has a number that cannot be sent.
    """
    step = AdapterStep(
        name=operation.kind, on=word("on", AdapterFlow, on), at=_place(at), operation=operation
    )
    try:
        step.to_proto()
    except ValueError as error:
        raise InvalidArgumentError(f"the step {operation.kind}: {error}") from error
    return step


def word(what: str, cls: type[E], given: object) -> E:
    """The member of an enum that a word stands for."""
    allowed = ", ".join(member.value for member in cls)
    if not isinstance(given, str):
        raise ArgumentTypeError(f"{what} must be one of {allowed}, got {reprlib.repr(given)}")
    try:
        return cls(given)
    except ValueError:
        raise InvalidArgumentError(f"{what} must be one of {allowed}, got {given!r}") from None


def whole(what: str, given: object) -> int:
    """An integer."""
    if isinstance(given, bool) or not isinstance(given, numbers.Integral):
        raise ArgumentTypeError(f"{what} must be an integer, got {reprlib.repr(given)}")
    return int(given)


def number(what: str, given: object) -> float:
    """A real number."""
    if isinstance(given, bool) or not isinstance(given, numbers.Real):
        raise ArgumentTypeError(f"{what} must be a number, got {reprlib.repr(given)}")
    return float(given)


def reals(what: str, given: Numbers) -> tuple[float, ...]:
    """A number as one, or the numbers of a sequence or of an array of one axis."""
    try:
        array = np.asarray(given)
    except ValueError as error:
        raise InvalidArgumentError(f"{what} must be numbers in one row: {error}") from error
    if array.ndim > 1 or array.dtype.kind not in "iuf":
        raise InvalidArgumentError(
            f"{what} must be a number or numbers in one row, got {reprlib.repr(given)}"
        )
    return tuple(float(each) for each in array.reshape(-1).tolist())


def read_text(what: str, given: object) -> str:
    """A text."""
    if not isinstance(given, str):
        raise ArgumentTypeError(f"{what} must be a str, got {reprlib.repr(given)}")
    return given


def read_texts(what: str, given: Iterable[Any]) -> tuple[str, ...]:
    """Texts, of which one alone is no sequence."""
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise ArgumentTypeError(f"{what} must be several keys, got {reprlib.repr(given)}")
    return tuple(read_text(f"each of {what}", each) for each in given)


def _place(at: Any) -> tuple[str, ...]:
    if isinstance(at, str):
        return (at,) if at else ()
    if isinstance(at, int) and not isinstance(at, bool):
        return (_key(at),)
    if not is_row(at):
        raise ArgumentTypeError(f"at must be a key, an index or several, got {reprlib.repr(at)}")
    return tuple(_key(key) for key in at)


def _key(key: Any) -> str:
    if isinstance(key, bool) or not isinstance(key, int | str):
        raise ArgumentTypeError(f"at must be made of keys and indices, got {reprlib.repr(key)}")
    if isinstance(key, int) and key < 0:
        raise InvalidArgumentError(f"at must be made of keys and indices from 0, got {key}")
    return str(key)
