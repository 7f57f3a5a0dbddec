"""What a value is, as guards that mypy and pyright both narrow by."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

__all__ = ["is_array", "is_collection", "is_mapping", "is_number", "is_row"]


def is_array(value: object) -> TypeGuard[npt.NDArray[Any]]:
    """Whether it is an array of NumPy."""
    return isinstance(value, np.ndarray)


def is_collection(value: object) -> TypeGuard[Collection[Any]]:
    """Whether it is a collection of things, which a text is not."""
    return isinstance(value, Collection) and not isinstance(value, str | bytes)


def is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    """Whether it is a mapping."""
    return isinstance(value, Mapping)


def is_number(value: object) -> TypeGuard[np.number[Any]]:
    """Whether it is a number of NumPy: a scalar, not an array."""
    return isinstance(value, np.number)


def is_row(value: object) -> TypeGuard[list[Any] | tuple[Any, ...]]:
    """Whether it is a list or a tuple."""
    return isinstance(value, list | tuple)


def is_scalar(value: object) -> TypeGuard[np.generic[Any]]:
    """Whether it is a scalar of NumPy, of any dtype."""
    return isinstance(value, np.generic)
