"""Numbers of things that users give."""

from __future__ import annotations

from rlmesh.errors import ArgumentTypeError, InvalidArgumentError

__all__ = ["check_count"]


def check_count(name: str, value: object) -> int | None:
    """Returns an integer from 1, or None, as it is.

    Args:
        name: The argument's name, for messages.
        value: What the user gives.

    Raises:
        ArgumentTypeError: If it is neither an integer nor None.
        InvalidArgumentError: If it is less than 1.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise ArgumentTypeError(
            f"{name} must be an int or None, got {type(value).__name__} {value!r:.80}"
        )
    if value < 1:
        raise InvalidArgumentError(f"{name} must be 1 or more, got {value}")
    return value
