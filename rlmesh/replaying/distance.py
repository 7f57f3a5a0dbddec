"""How far two numbers lie apart."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt


def ulps(a: Any, b: Any) -> int | None:
    """How many floats of their dtype lie between two, plus one; None where that means nothing.

    Args:
        a: A float of Python, or a float16, float32 or float64 of NumPy.
        b: Another of the same dtype.
    """
    dtype = np.asarray(a).dtype
    if dtype.kind != "f" or dtype.itemsize > 8 or np.asarray(b).dtype != dtype:
        return None
    if math.isnan(a) or math.isnan(b):
        return None
    return abs(_rank(a, dtype) - _rank(b, dtype))


def _rank(value: Any, dtype: np.dtype[Any]) -> int:
    """The place of a float among all of its dtype; both zeros have the same."""
    bits = int(np.asarray(value, dtype).view(f"i{dtype.itemsize}")[()])
    lowest = -(1 << 8 * dtype.itemsize - 1)
    return bits if bits >= 0 else lowest - bits


def differing(
    a: npt.NDArray[Any], b: npt.NDArray[Any], tolerance: float | None
) -> npt.NDArray[np.bool_]:
    """Which elements of two arrays of one numeric dtype and shape differ.

    Args:
        a: The one, as recorded.
        b: The other.
        tolerance: How far two floats may lie apart, absolutely or in relation to the recorded one;
            None: each bit counts.
    """
    # Bit for bit: NaN equals itself, and 0.0 is not -0.0.
    ours, others = (np.ascontiguousarray(each).reshape(-1).view(np.uint8) for each in (a, b))
    by_element = (ours != others).reshape(-1, a.dtype.itemsize)
    unequal: npt.NDArray[np.bool_] = by_element.any(axis=1).reshape(a.shape)
    if tolerance is not None and a.dtype.kind in "fc":
        with np.errstate(invalid="ignore", over="ignore"):
            near = np.abs(a - b) <= tolerance * np.maximum(1.0, np.abs(a))
        unequal &= ~(near | (np.isnan(a) & np.isnan(b)) | (a == b))
    return unequal
