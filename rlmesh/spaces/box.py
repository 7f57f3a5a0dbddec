"""`Box`: an array of numbers between two bounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rlmesh.errors import InvalidArgumentError
from rlmesh.spaces.arrays import (
    canonical_numbers,
    check_count,
    check_shape,
    collapse,
    is_array,
    read_dtype,
    read_numbers,
    read_shape,
    short,
)
from rlmesh_api.contract import BoxSpace, Dtype

__all__ = ["Box"]

# A NumPy array of any shape, or nested sequences, or one number.
Numbers = Any


class Box(BoxSpace):
    """An array of numbers of one dtype between two bounds, both inclusive.

    Example:
        >>> Box(-1.0, 2.0, shape=(3, 4))
        Box(-1.0, 2.0, (3, 4), float32)
        >>> Box([0, 10], [9, 19], dtype="int64")
        Box([0, 10], [9, 19], (2,), int64)

    Args:
        low: The lower bounds: one number, an array, or nested sequences. -inf for none; for a
            signed integer dtype that is its least number, to which sampling does not cling.
        high: The upper bounds, likewise.
        shape: The array's shape; None takes that of the bounds, or (1,) where both are numbers.
        dtype: The element type, a bool, integer or float of up to 64 bits.

    Raises:
        InvalidArgumentError: If a bound is NaN or does not fit the dtype, if the shapes differ, or
            if a lower bound is above its upper one.
    """

    __slots__ = ()

    def __init__(
        self,
        low: Numbers,
        high: Numbers,
        shape: Any = None,
        dtype: npt.DTypeLike = "float32",
    ) -> None:
        element = read_dtype("Box", dtype)
        lower, bounded_below = read_numbers("Box low", low, element, -np.inf)
        upper, bounded_above = read_numbers("Box high", high, element, np.inf)
        # A number holds for every element, an array has the shape of the space.
        given = {
            name: array.shape
            for name, value, array in (("low", low, lower), ("high", high, upper))
            if array.shape or is_array(value)
        }
        inferred = next(iter(given.values()), (1,))
        axes = inferred if shape is None else read_shape("Box", shape)
        for name, dims in given.items():
            if dims != axes:
                raise InvalidArgumentError(f"Box {name} must have the shape {axes}, got {dims}")
        empty = 0 in axes
        super().__init__(
            dtype=element,
            shape=axes,
            low=() if empty else _values(lower),
            high=() if empty else _values(upper),
            bounded_below=() if empty else collapse(bounded_below),
            bounded_above=() if empty else collapse(bounded_above),
        )

    @classmethod
    def from_arrays(
        cls,
        low: npt.NDArray[Any],
        high: npt.NDArray[Any],
        bounded_below: npt.NDArray[np.bool_],
        bounded_above: npt.NDArray[np.bool_],
    ) -> Box:
        """The box with these bounds and flags, all of one shape, the bounds of one dtype.

        Args:
            low: The lower bounds; their shape and dtype are the box's.
            high: The upper bounds.
            bounded_below: Whether each element is bounded below, a bool array.
            bounded_above: Whether each element is bounded above, a bool array.

        Raises:
            InvalidArgumentError: If a bound is NaN, or a lower bound is above its upper one.
        """
        box = object.__new__(cls)
        BoxSpace.__init__(
            box,
            dtype=read_dtype("Box", low.dtype),
            shape=low.shape,
            low=_values(low),
            high=_values(high),
            bounded_below=collapse(bounded_below),
            bounded_above=collapse(bounded_above),
        )
        return box

    def __post_init__(self) -> None:
        size = check_shape("Box", self.shape)
        low = canonical_numbers("Box low", self.low, size, self.dtype)
        high = canonical_numbers("Box high", self.high, size, self.dtype)
        if np.any(low > high):
            raise InvalidArgumentError(
                f"Box low must not be above high, got {short(self.low)} and {short(self.high)}"
            )
        below = _canonical_flags("Box bounded_below", self.bounded_below, low != -np.inf, size)
        above = _canonical_flags("Box bounded_above", self.bounded_above, high != np.inf, size)
        # One form for all that mean the same, so that equal boxes compare equal.
        object.__setattr__(self, "low", _values(low))
        object.__setattr__(self, "high", _values(high))
        object.__setattr__(self, "bounded_below", below)
        object.__setattr__(self, "bounded_above", above)

    def __repr__(self) -> str:
        low, high = (_short(bounds, self.dtype) for bounds in (self.low, self.high))
        return f"Box({low}, {high}, {self.shape}, {self.dtype.value})"


def _values(array: npt.NDArray[Any]) -> tuple[int | float, ...]:
    return collapse(array.view(np.uint8) if array.dtype.kind == "b" else array)


def _canonical_flags(
    what: str, flags: tuple[bool, ...], default: npt.NDArray[np.bool_], size: int
) -> tuple[bool, ...]:
    """The flags; empty where they are what the bounds say."""
    if not flags:
        return ()
    check_count(what, len(flags), size)
    array = np.array(flags, dtype=np.bool_)
    return () if np.all(array == default) else collapse(array)


def _short(bounds: tuple[int | float, ...], dtype: Dtype) -> str:
    # NumPy prints the shortest digits that its dtype needs.
    return short(tuple(np.array(bounds, dtype=dtype.value)))
