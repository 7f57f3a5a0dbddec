"""What is wrong with a value or a slab: the words that layout and conformance share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

import numpy as np

__all__ = [
    "BufferTooSmallError",
    "CorruptSlabError",
    "Deviation",
    "DeviationKind",
    "Violation",
    "ViolationKind",
    "shown",
    "typename",
    "wrong_length",
]

DeviationKind: TypeAlias = Literal["bounds", "charset", "length", "overflow"]
"""How a value may deviate; a policy decides what happens then."""

ViolationKind: TypeAlias = Literal[
    "structure", "shape", "type", "inexact", "range", "domain", "nan", DeviationKind
]
"""Why a value is refused; the kinds of a deviation stand here for policy `strict`."""

_WIDEST = 60


@dataclass(frozen=True, slots=True)
class Deviation:
    """A value that can travel although its space does not hold it.

    Attributes:
        kind: `bounds`, `charset`, `length` or `overflow`.
        path: The leaf, `$.arm[1]`.
        env_index: The sub-environment of a vector endpoint, None for a single one.
        detail: What stands where, and what is allowed there.
    """

    kind: DeviationKind
    path: str
    env_index: int | None
    detail: str


class Violation(Exception):  # noqa: N818 - a finding; its callers turn it into an error of the tree
    """A value that its space refuses.

    Attributes:
        kind: Why.
        path: The offending part, `$.arm[1]`.
        env_index: The sub-environment of a vector endpoint where it is known, else None.
        detail: What came, and what was expected.
    """

    def __init__(self, kind: ViolationKind, path: str, env_index: int | None, detail: str) -> None:
        super().__init__(kind, path, env_index, detail)
        self.kind: ViolationKind = kind
        self.path = path
        self.env_index = env_index
        self.detail = detail

    def __str__(self) -> str:
        where = (
            self.path
            if self.env_index is None
            else f"{self.path} in sub-environment {self.env_index}"
        )
        return f"{where}: {self.detail}"


class CorruptSlabError(ValueError):
    """Bytes that are no slab of their layout."""


class BufferTooSmallError(ValueError):
    """A buffer that a slab does not fit into.

    Attributes:
        needed: How many bytes the slab has.
    """

    def __init__(self, needed: int, available: int) -> None:
        super().__init__(f"the slab has {needed} bytes, the buffer has {available} left")
        self.needed = needed


def wrong_length(expected: int, got: int) -> CorruptSlabError:
    """The error for a slab that is too short or too long."""
    return CorruptSlabError(f"expected a slab of {expected} bytes, got {got}")


def typename(value: object) -> str:
    """The name of a value's type, with its module unless it is built in."""
    kind = type(value)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return f"{module}{kind.__qualname__}"


def shown(value: Any) -> str:
    """A number or a text as a message shows it, cut where it is long. Calls no foreign code."""
    kind = cast("type[object]", type(value))
    if issubclass(kind, np.number | np.bool_):
        text = str(value)
    elif kind is int and value.bit_length() > 4 * _WIDEST:
        text = f"an integer of {value.bit_length()} bits"
    elif kind in (bool, int, float, complex):
        text = repr(value)
    elif kind is str:
        text = repr(value[: _WIDEST + 1])
    else:
        return f"a value of type {typename(value)}"
    return text if len(text) <= _WIDEST + 2 else f"{text[:_WIDEST]}..."
