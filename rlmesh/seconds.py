"""Durations that users give."""

from __future__ import annotations

import math

from rlmesh.errors import ArgumentTypeError, InvalidArgumentError


def check_seconds(name: str, value: object) -> None:
    """Refuses what is neither None nor a finite number of seconds from 0.

    Raises:
        ArgumentTypeError: If it is no number.
        InvalidArgumentError: If it is negative, infinite or NaN.
    """
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ArgumentTypeError(
            f"{name} must be a number of seconds or None, got {type(value).__name__} {value!r}"
        )
    if not (math.isfinite(value) and value >= 0):
        raise InvalidArgumentError(
            f"{name} must be finite and not negative, got {value!r}; None means no limit"
        )
