"""The Gymnasium space of a text that may hold any character."""

from __future__ import annotations

from typing import Any

import gymnasium.spaces

__all__ = ["AnyText"]


class AnyText(gymnasium.spaces.Text):
    """Gymnasium's Text of the default charset, equal to it, that contains every character.

    It samples from the default charset, as the space it stands for does.
    """

    def contains(self, x: Any) -> bool:
        """Whether x is a text whose length is within the bounds."""
        return isinstance(x, str) and self.min_length <= len(x) <= self.max_length
