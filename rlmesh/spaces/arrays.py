"""What the space classes are made of: dtypes, shapes, and numbers in C order.

A space holds numbers as a tuple of plain Python numbers in C order, or as a single one where all
are the same, bit for bit.
"""

from __future__ import annotations

import math
import numbers
import reprlib
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

from rlmesh.errors import InvalidArgumentError
from rlmesh_api.contract import Dtype

__all__ = [
    "ALL",
    "INTEGERS",
    "canonical_numbers",
    "check_count",
    "check_shape",
    "collapse",
    "expand",
    "is_array",
    "read_dtype",
    "read_integer",
    "read_numbers",
    "read_shape",
    "short",
]

ALL = "biuf"
INTEGERS = "iu"

_INT_KINDS = "biu"
_SHOWN = 6
# What NumPy takes from its release 2 on, and before.
_MOST_AXES = 64 if np.lib.NumpyVersion(np.__version__) >= "2.0.0" else 32


def read_dtype(owner: str, dtype: object, kinds: str = ALL) -> Dtype:
    """The element type that a name, a scalar class or a `numpy.dtype` stands for.

    Args:
        owner: The kind of space, for messages.
        dtype: What NumPy takes as a dtype; None is none.
        kinds: NumPy's letters of the allowed kinds, `ALL` or `INTEGERS`.

    Raises:
        InvalidArgumentError: If RLMesh carries no such elements, or they are not in native order.
    """
    for known in Dtype:
        native = np.dtype(known.value)
        if native.kind in kinds and _same_dtype(dtype, native):
            return known
    allowed = ", ".join(known.value for known in Dtype if np.dtype(known.value).kind in kinds)
    raise InvalidArgumentError(f"{owner} dtype must be one of {allowed}, got {reprlib.repr(dtype)}")


def _same_dtype(dtype: Any, native: npt.DTypeLike) -> bool:
    try:
        return dtype is not None and np.dtype(dtype) == native
    except (TypeError, ValueError):  # NumPy cannot read it as a dtype
        return False


def read_integer(what: str, value: object) -> int:
    """A Python or NumPy integer; a bool is none."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise InvalidArgumentError(f"{what} must be an integer, got {reprlib.repr(value)}")
    return int(value)


def read_shape(owner: str, shape: Any) -> tuple[int, ...]:
    """A shape: an iterable of integers from 0."""
    try:
        axes: tuple[object, ...] = tuple(shape)
    except TypeError as error:
        raise InvalidArgumentError(
            f"{owner} shape must be integers, got {reprlib.repr(shape)}"
        ) from error
    return tuple(read_integer(f"every axis of {owner} shape", axis) for axis in axes)


def check_shape(owner: str, shape: tuple[int, ...], least: int = 0) -> int:
    """Checks the axes of a shape.

    Returns:
        How many elements an array of that shape has.

    Raises:
        InvalidArgumentError: If an axis is shorter than `least`, or there are more axes than NumPy
            takes.
    """
    if len(shape) > _MOST_AXES:
        raise InvalidArgumentError(
            f"{owner} shape must have at most {_MOST_AXES} axes, got {len(shape)}"
        )
    if any(axis < least for axis in shape):
        raise InvalidArgumentError(f"every axis of {owner} shape must be {least} or more: {shape}")
    return math.prod(shape)


def is_array(value: object) -> TypeGuard[npt.NDArray[Any]]:
    """Whether it is a NumPy array, of any dtype and shape."""
    return isinstance(value, np.ndarray)


def read_numbers(
    what: str, value: object, dtype: Dtype, unbounded: float | None = None
) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Reads numbers that a user wrote down.

    Args:
        what: What they are, for messages.
        value: A number, an array, or nested sequences of numbers.
        dtype: The element type of the result.
        unbounded: The infinity that a signed integer dtype takes as its own extreme, as
            Gymnasium's Box does; None where infinity means nothing.

    Returns:
        An array of that dtype, and which of its elements are not `unbounded`.

    Raises:
        InvalidArgumentError: If they are no numbers, or the dtype cannot hold them.
    """
    target = np.dtype(dtype.value)
    if is_array(value) and value.dtype == target:
        array = value
    else:
        try:
            items = np.array(value, dtype=object)
        except ValueError as error:
            raise InvalidArgumentError(f"{what} must be an array: {error}") from error
        # Element by element in Python: no detour over float64 then loses the digits of an integer.
        read = [_read_number(what, item, dtype, unbounded) for item in items.flat]
        array = np.array(read, dtype=target).reshape(items.shape)
        if unbounded is not None and target.kind in _INT_KINDS:
            finite = [item != unbounded for item in items.flat]
            return array, np.array(finite, dtype=np.bool_).reshape(items.shape)
    bounded = np.ones(array.shape, np.bool_) if unbounded is None else array != unbounded
    return array, np.asarray(bounded)


def _read_number(what: str, item: object, dtype: Dtype, unbounded: float | None) -> int | float:
    number: Any = item
    if isinstance(item, (bool, np.bool_)) and dtype is Dtype.BOOL:
        return int(number)
    if isinstance(item, bool) or not isinstance(item, numbers.Real):
        raise InvalidArgumentError(f"{what} must be made of numbers, got {reprlib.repr(number)}")
    target = np.dtype(dtype.value)
    try:
        if target.kind == "f":
            return _nearest(float(number), target)
        low, high = _limits(target)
        if target.kind == "i" and number == unbounded:
            return low if number < 0 else high
        if int(number) == number and low <= number <= high:
            return int(number)
    except (OverflowError, ValueError):  # an infinity, NaN, or an integer beyond every float
        pass
    raise InvalidArgumentError(
        f"{what} must be made of numbers that fit {dtype.value}, got {reprlib.repr(number)}"
    )


def _nearest(number: float, target: np.dtype[Any]) -> float:
    with np.errstate(over="ignore"):
        near = float(target.type(number))
    if math.isnan(near) or (math.isinf(near) and not math.isinf(number)):
        raise ValueError
    return near


def _limits(target: np.dtype[Any]) -> tuple[int, int]:
    if target.kind == "b":
        return 0, 1
    limits = np.iinfo(target)
    return int(limits.min), int(limits.max)


def canonical_numbers(
    what: str, values: tuple[Any, ...], size: int, dtype: Dtype
) -> npt.NDArray[Any]:
    """Checks the numbers of a space.

    Args:
        what: What they are, for messages.
        values: The numbers, as a space holds them.
        size: How many elements the space has.
        dtype: The element type.

    Returns:
        An array of that dtype with one or `size` elements.

    Raises:
        InvalidArgumentError: If their count is another, or the dtype does not hold one exactly.
    """
    check_count(what, len(values), size)
    target = np.dtype(dtype.value)
    plain: set[type] = {int, float} if target.kind == "f" else {int}
    if set(map(type, values)) <= plain:
        if target.kind == "f":
            with np.errstate(over="ignore"):
                array = np.array(values, dtype=target)
            if np.array_equal(array, np.array(values)):
                return array
        elif values == () or _fit(values, target):
            return np.array(values, dtype=target)
    raise InvalidArgumentError(
        f"{what} must be made of plain numbers that {dtype.value} holds exactly, got "
        f"{short(values)}"
    )


def _fit(values: tuple[int, ...], target: np.dtype[Any]) -> bool:
    low, high = _limits(target)
    return low <= min(values) and max(values) <= high


def short(values: tuple[Any, ...]) -> str:
    """A number that stands for all, or the first of many; for messages."""
    if len(values) == 1:
        return str(values[0])
    shown = [str(value) for value in values[:_SHOWN]] + ["..."] * (len(values) > _SHOWN)
    return f"[{', '.join(shown)}]"


def check_count(what: str, count: int, size: int) -> None:
    """Checks that there is a number for every element, or one for all."""
    if count != size and (count != 1 or size == 0):
        raise InvalidArgumentError(f"{what} must have 1 or {size} elements, got {count}")


def collapse(array: npt.NDArray[Any]) -> tuple[Any, ...]:
    """The elements of an array in C order, or a single one where all are the same, bit for bit."""
    flat = np.ascontiguousarray(array).reshape(-1)
    bits = flat.view(f"u{flat.itemsize}")
    if flat.size and np.all(bits == bits[0]):
        flat = flat[:1]
    return tuple(flat.tolist())


def expand(
    values: tuple[Any, ...], shape: tuple[int, ...], dtype: npt.DTypeLike
) -> npt.NDArray[Any]:
    """The array of a shape that `collapse` was given; the caller's to write on."""
    if len(values) == 1:
        return np.full(shape, values[0], dtype=dtype)
    return np.array(values, dtype=dtype).reshape(shape)
