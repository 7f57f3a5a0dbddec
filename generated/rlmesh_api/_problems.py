"""What is wrong at one place of a tree, said in one line.

This module lives in codegen/runtime/ and is copied into the generated package; edit it there.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Generator, Iterable, Mapping, Sized
from typing import Any, TypeGuard

__all__ = [
    "Problem",
    "Refusal",
    "WrongType",
    "as_list",
    "as_mapping",
    "at_root",
    "describe",
    "key_step",
    "listed",
]

_LONGEST_TEXT = 60
_WIDEST_INT = 256


class Problem(Exception):  # noqa: N818 - it becomes an error, of which type, at the root
    """A value that is not what its place expects.

    It is raised where the value stands and collects the way to it while it passes up.

    Attributes:
        path: The way from the point that it has passed up to, `.entries[1].space`.
        expected: What the place expects.
        got: What stands there.
    """

    def __init__(self, expected: str, got: str) -> None:
        super().__init__(expected, got)
        self.path = ""
        self.expected = expected
        self.got = got

    def __str__(self) -> str:
        return f"expected {self.expected}, got {self.got}"

    def inside(self, step: str) -> Problem:
        """Prepend one step to the path, for the caller to raise on."""
        self.path = step + self.path
        return self


class WrongType(Problem):
    """A value whose type is wrong already."""


class Refusal(Problem):
    """Values that go with each other in no object, as the class says that refused them."""

    def __init__(self, error: ValueError) -> None:
        super().__init__("values that go together", str(error))

    def __str__(self) -> str:
        return " ".join(self.got.split())


@contextlib.contextmanager
def at_root(*, reading: bool) -> Generator[None, None, None]:
    """Turn a problem into a built-in error whose message is one line.

    Args:
        reading: Whether the tree came from outside, where a wrong type is a wrong value.

    Raises:
        TypeError: A value of a wrong type stands in an object that is written.
        ValueError: Any other problem.
    """
    try:
        yield
    except Problem as problem:
        is_type_error = isinstance(problem, WrongType) and not reading
        error = TypeError if is_type_error else ValueError
        raise error(f"${problem.path}: {problem}") from None
    except RecursionError:
        raise ValueError(
            "$: expected a tree of moderate depth, got one that is nested without end or nearly so"
        ) from None


def as_mapping(value: object, expected: str) -> Mapping[Any, Any]:
    """The value itself, when it is a mapping."""
    if not _is_mapping(value):
        raise WrongType(expected, describe(value))
    return value


def as_list(value: object, expected: str) -> list[Any]:
    """The value itself, when it is a list."""
    if not _is_list(value):
        raise WrongType(expected, describe(value))
    return value


# An `isinstance` alone leaves the elements without a type.
def _is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    return isinstance(value, Mapping)


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def key_step(key: str) -> str:
    """The step of a path that leads to a key."""
    return f".{key}" if key.isidentifier() else f"[{json.dumps(key)}]"


def listed(names: Iterable[str]) -> str:
    """Names in a row, for a message."""
    return ", ".join(names) or "none"


def describe(value: object) -> str:
    """A short text on one line that says what a value is; it never calls foreign code."""
    if type(value) is int and value.bit_length() > _WIDEST_INT:
        return f"an integer of {value.bit_length()} bits"
    if value is None or type(value) in (bool, int, float):
        return repr(value)
    if type(value) is str or type(value) is bytes:
        text = repr(value[:_LONGEST_TEXT])
        return text if len(value) <= _LONGEST_TEXT else f"{text}..."
    kind = type(value)
    if isinstance(value, Sized) and kind in (list, tuple, dict, set):
        return f"a {kind.__name__} of length {len(value)}"
    return f"an object of type {kind.__module__}.{kind.__qualname__}"
