"""Durations that users give."""

from __future__ import annotations

from rlmesh.errors import ArgumentTypeError, InvalidArgumentError

# Some 30 years. The clocks of the system and of gRPC overflow beyond.
LONGEST_SECONDS = 1e9


def check_seconds(name: str, value: object) -> float | None:
    """Returns a number of seconds from 0 to `LONGEST_SECONDS`, or None, as it is.

    Args:
        name: The argument's name, for messages.
        value: What the user gives.

    Raises:
        ArgumentTypeError: If it is neither a number nor None.
        InvalidArgumentError: If it is negative, NaN, or too large.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ArgumentTypeError(
            f"{name} must be a number of seconds or None, got {type(value).__name__} {value!r}"
        )
    if not 0 <= value <= LONGEST_SECONDS:
        raise InvalidArgumentError(
            f"{name} must be 0 to {LONGEST_SECONDS:.0f} seconds, got {value!r}; None means no limit"
        )
    return value
