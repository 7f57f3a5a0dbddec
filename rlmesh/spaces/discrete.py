"""`Discrete`, `MultiDiscrete` and `MultiBinary`: integers from small ranges."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from rlmesh.errors import InvalidArgumentError
from rlmesh.spaces.arrays import (
    INTEGERS,
    canonical_numbers,
    check_count,
    check_shape,
    collapse,
    read_dtype,
    read_integer,
    read_numbers,
    read_shape,
    short,
)
from rlmesh_api.contract import DiscreteSpace, Dtype, MultiBinarySpace, MultiDiscreteSpace

__all__ = ["Discrete", "MultiBinary", "MultiDiscrete"]


class Discrete(DiscreteSpace):
    """One integer from `start` to `start + n - 1`.

    Example:
        >>> Discrete(3, start=-1)
        Discrete(3, start=-1)

    Args:
        n: How many values there are; at least 1.
        start: The smallest value.
        dtype: An integer type that holds `n` and every value.

    Raises:
        InvalidArgumentError: If it does not, or `n` is not positive.
    """

    __slots__ = ()

    shape: ClassVar[tuple[int, ...]] = ()

    def __init__(self, n: int, start: int = 0, dtype: npt.DTypeLike = "int64") -> None:
        super().__init__(
            n=read_integer("Discrete n", n),
            start=read_integer("Discrete start", start),
            dtype=read_dtype("Discrete", dtype, INTEGERS),
        )

    def __post_init__(self) -> None:
        read_dtype("Discrete", self.dtype, INTEGERS)
        _check_ranges("Discrete", (self.n,), (self.start,), 1, self.dtype)

    def __repr__(self) -> str:
        start = f", start={self.start}" if self.start else ""
        return f"Discrete({self.n}{start}{_dtype_note(self.dtype)})"


class MultiDiscrete(MultiDiscreteSpace):
    """An array of integers, element i from `start[i]` to `start[i] + nvec[i] - 1`.

    Example:
        >>> MultiDiscrete([[2, 3], [4, 5]])
        MultiDiscrete([2, 3, 4, 5], (2, 2))

    Args:
        nvec: How many values each element has: an array, or nested sequences; each at least 1.
        dtype: An integer type that holds `nvec` and every value.
        start: The smallest value of each element, of the same shape; None stands for 0.

    Raises:
        InvalidArgumentError: If the dtype does not, a count is not positive, or the shapes differ.
    """

    __slots__ = ()

    def __init__(self, nvec: Any, dtype: npt.DTypeLike = "int64", start: Any = None) -> None:
        element = read_dtype("MultiDiscrete", dtype, INTEGERS)
        counts, _ = read_numbers("MultiDiscrete nvec", nvec, element)
        if start is None:
            first = np.zeros_like(counts)
        else:
            first, _ = read_numbers("MultiDiscrete start", start, element)
        if first.shape != counts.shape:
            raise InvalidArgumentError(
                f"MultiDiscrete start must have the shape of nvec, {counts.shape}, "
                f"got {first.shape}"
            )
        super().__init__(
            shape=counts.shape, nvec=collapse(counts), start=collapse(first), dtype=element
        )

    def __post_init__(self) -> None:
        read_dtype("MultiDiscrete", self.dtype, INTEGERS)
        size = check_shape("MultiDiscrete", self.shape)
        check_count("MultiDiscrete nvec", len(self.nvec), size)
        check_count("MultiDiscrete start", len(self.start), size)
        _check_ranges("MultiDiscrete", self.nvec, self.start, size, self.dtype)
        # One form for all that mean the same, so that equal spaces compare equal.
        object.__setattr__(self, "nvec", _one_if_uniform(self.nvec))
        object.__setattr__(self, "start", _one_if_uniform(self.start))

    def __repr__(self) -> str:
        start = f", start={short(self.start)}" if any(self.start) else ""
        return f"MultiDiscrete({short(self.nvec)}, {self.shape}{start}{_dtype_note(self.dtype)})"


class MultiBinary(MultiBinarySpace):
    """An array of zeros and ones, of dtype int8.

    Example:
        >>> MultiBinary(5)
        MultiBinary(5)
        >>> MultiBinary((3, 2))
        MultiBinary((3, 2))

    Args:
        n: The length of a flat array, or a shape; every axis is 1 or longer.

    Raises:
        InvalidArgumentError: If it is neither.
    """

    __slots__ = ()

    dtype: ClassVar[Dtype] = Dtype.INT8

    def __init__(self, n: Any) -> None:
        flat = not hasattr(n, "__iter__")
        axes = (read_integer("MultiBinary n", n),) if flat else read_shape("MultiBinary", n)
        super().__init__(shape=axes, flat=flat)

    def __post_init__(self) -> None:
        check_shape("MultiBinary", self.shape, least=1)
        if self.flat and len(self.shape) != 1:
            raise InvalidArgumentError(f"a flat MultiBinary has one axis, got {self.shape}")

    @property
    def n(self) -> int | tuple[int, ...]:
        """The length of a flat array, else the shape."""
        return self.shape[0] if self.flat else self.shape

    def __repr__(self) -> str:
        return f"MultiBinary({self.n})"


def _check_ranges(
    owner: str, counts: tuple[int, ...], starts: tuple[Any, ...], size: int, dtype: Dtype
) -> None:
    """Checks that the counts are positive, and that the dtype holds them and all values."""
    canonical_numbers(f"{owner} n", counts, size, dtype)
    canonical_numbers(f"{owner} start", starts, size, dtype)
    width = max(len(counts), len(starts))
    if any(count < 1 for count in counts):
        raise InvalidArgumentError(f"{owner} n must be positive, got {short(counts)}")
    last = tuple(
        start + count - 1
        for count, start in zip(_wide(counts, width), _wide(starts, width), strict=True)
    )
    limit = int(np.iinfo(dtype.value).max)
    if any(value > limit for value in last):
        raise InvalidArgumentError(
            f"{owner} start + n - 1 must fit {dtype.value}, got {short(last)}; take a wider dtype"
        )


def _wide(values: tuple[Any, ...], width: int) -> tuple[Any, ...]:
    return values * width if len(values) == 1 else values


def _one_if_uniform(values: tuple[Any, ...]) -> tuple[Any, ...]:
    return values[:1] if len(set(values)) == 1 else values


def _dtype_note(dtype: Dtype) -> str:
    return "" if dtype is Dtype.INT64 else f", dtype={dtype.value}"
