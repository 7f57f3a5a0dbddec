"""How long the world waits for the policy."""

from __future__ import annotations

import math
import numbers
from typing import Literal

from rlmesh.errors import ArgumentTypeError, InvalidArgumentError

# What rounding may take from a quotient that is an integer.
_ROUNDING = 1e-9


class Latency:
    """For how many steps the last action is held while the policy computes.

    Args:
        given: `frozen`: the world waits. `measured`: it goes on for as long as the policy took.
            A number: it goes on for so many seconds.

    Attributes:
        given: The same.
        moves: Whether the world goes on at all.

    Raises:
        ArgumentTypeError: If it is none of these.
        InvalidArgumentError: If it is another word, or a number that is negative or not finite.
    """

    def __init__(self, given: Literal["frozen", "measured"] | float) -> None:
        if isinstance(given, str):
            if given not in {"frozen", "measured"}:
                raise InvalidArgumentError(
                    f"latency must be 'frozen', 'measured' or seconds, got {given!r:.80}"
                )
        elif isinstance(given, bool) or not isinstance(given, numbers.Real):
            raise ArgumentTypeError(
                f"latency must be 'frozen', 'measured' or seconds, got {given!r:.80}"
            )
        elif not (math.isfinite(given) and given >= 0):
            raise InvalidArgumentError(f"latency must be 0 seconds or more, got {given}")
        self.given: Literal["frozen", "measured"] | float = (
            given if isinstance(given, str) else float(given)
        )
        self.moves: bool = given != "frozen"

    def late_steps(self, policy_seconds: float, step_seconds: float) -> int:
        """How many whole steps fit into the time that the policy takes."""
        if isinstance(self.given, str):
            seconds = policy_seconds if self.moves else 0.0
        else:
            seconds = self.given
        return int(seconds / step_seconds + _ROUNDING)
