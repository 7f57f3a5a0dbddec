"""What the steps that change arrays share: bounds as arrays, and lists of numbers."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Generator, Sequence
from contextvars import ContextVar
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from rlmesh.adapters.faults import StepFault, brief
from rlmesh.limits import MAX_MESSAGE_BYTES
from rlmesh.spaces.arrays import expand
from rlmesh.spaces.box import Box
from rlmesh_api.contract import BoxSpace, Space

__all__ = [
    "Array",
    "Change",
    "Compiled",
    "bounds",
    "box",
    "check_room",
    "finite",
    "float_box",
    "from_ends",
    "limit",
    "limited",
    "numbers",
    "plain_box",
    "spaces_differ",
]

Array: TypeAlias = npt.NDArray[Any]
Change: TypeAlias = Callable[[Any], Any]
"""Changes a value; the value that it is given stays as it is."""

Compiled: TypeAlias = tuple[Space, Change]
"""The space of the changed values, and what changes them."""

T = TypeVar("T")

# The bytes of the largest value that a stranger's steps may make. A variable of the context, for of
# more than twenty operations only five can make a value as large as they like.
_limit: ContextVar[int | None] = ContextVar("_limit", default=None)


@contextlib.contextmanager
def limited(size: int | None) -> Generator[None]:
    """Has the steps that are compiled meanwhile make no value of more bytes; None: any."""
    token = _limit.set(size)
    try:
        yield
    finally:
        _limit.reset(token)


def limit() -> int | None:
    """The bytes of the largest value that the steps may make; None: no more than a message has."""
    return _limit.get()


def plain_box(space: Space) -> BoxSpace:
    """The space, if it is a Box.

    Raises:
        StepFault: If it is another.
    """
    if not isinstance(space, BoxSpace):
        raise StepFault("a Box", brief(space))
    return space


def float_box(space: Space) -> BoxSpace:
    """The space, if it is a Box of floats.

    Raises:
        StepFault: If it is another.
    """
    found = plain_box(space)
    if np.dtype(found.dtype.value).kind != "f":
        raise StepFault("a Box of floats; put a cast before this step", brief(space))
    return found


def bounds(space: BoxSpace) -> tuple[Array, Array]:
    """The lower and the upper bounds, as arrays of the shape and the dtype of the space."""
    low, high = (expand(each, space.shape, space.dtype.value) for each in (space.low, space.high))
    return low, high


def box(low: Array, high: Array) -> Box:
    """The box with these bounds, which have its shape and its dtype."""
    return Box.from_arrays(
        np.array(low, order="C"),
        np.array(high, order="C"),
        np.asarray(low != -np.inf),
        np.asarray(high != np.inf),
    )


def check_room(shape: Sequence[int], space: BoxSpace) -> None:
    """Checks that a larger array, of the dtype of a space, is within the limit, and can be sent.

    Raises:
        StepFault: If it is.
    """
    size = math.prod(shape) * np.dtype(space.dtype.value).itemsize
    most = _limit.get() or MAX_MESSAGE_BYTES
    if size > most:
        raise StepFault(f"a result of at most {most} bytes", f"{size}, of the shape {(*shape,)}")


def from_ends(space: BoxSpace, change: Callable[[Array], Array]) -> Box:
    """The box of changed values, where each element rises or falls with the one that it is of."""
    with np.errstate(over="ignore"):
        one, other = (np.asarray(change(end)) for end in bounds(space))
    if np.any(np.isnan(one)) or np.any(np.isnan(other)):
        raise StepFault("bounds that can be changed; put a clip before this step", brief(space))
    return box(np.minimum(one, other), np.maximum(one, other))


def numbers(what: str, given: Sequence[float], space: BoxSpace) -> Array:
    """Numbers as an array of a dtype: one for all, or one for each place of the last axis.

    Raises:
        StepFault: If there are as many as fit neither.
    """
    places = space.shape[-1] if space.shape else 1
    if len(given) not in {1, places} or not given:
        raise StepFault(f"1 or {places} numbers as `{what}`", len(given))
    with np.errstate(over="ignore"):
        array = np.array(given, dtype=space.dtype.value)
    return array[0] if len(given) == 1 else array


def finite(what: str, given: Sequence[float], space: BoxSpace) -> Array:
    """Such numbers, all of them finite.

    Raises:
        StepFault: If one is not, or not in the dtype.
    """
    array = numbers(what, given, space)
    if not np.all(np.isfinite(array)):
        wrong = next((number for number in given if not math.isfinite(number)), max(given, key=abs))
        raise StepFault(f"numbers that are finite in {space.dtype.value} as `{what}`", wrong)
    return array


def spaces_differ(parts: Sequence[tuple[str, BoxSpace]], axis: int | None) -> None:
    """Checks that arrays can be joined: one dtype, and one shape but for an axis.

    Raises:
        StepFault: If they cannot.
    """
    first = parts[0][1]
    for key, part in parts:
        if part.dtype != first.dtype:
            raise StepFault(
                f"arrays of one dtype, {first.dtype.value} as {parts[0][0]!r}; put a cast before "
                f"this step",
                f"{part.dtype.value} as {key!r}",
            )
        one, other = (list(each.shape) for each in (first, part))
        if axis is not None and len(one) >= -axis and len(other) >= -axis:
            one[axis] = other[axis] = 0
        if one != other or (axis is not None and len(one) < -axis):
            raise StepFault(
                f"arrays whose shapes fit that of {parts[0][0]!r}, {first.shape}, along the axis",
                f"{part.shape} as {key!r}",
            )
