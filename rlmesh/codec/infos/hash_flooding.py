"""How far the keys of a dict may collide."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable
from typing import Final

__all__ = ["MOST_KEYS_OF_ONE_HASH", "busiest_hash"]

MOST_KEYS_OF_ONE_HASH: Final = 64
"""More keys of one hash are refused: a peer can make as many tuples of one hash as it likes, and
the time that a dict needs for them grows with their square."""


def busiest_hash(keys: Collection[Hashable]) -> int:
    """How many of the keys share one hash, at most. Not counted where it cannot be too many."""
    if len(keys) <= MOST_KEYS_OF_ONE_HASH:
        return len(keys)
    return max(Counter(map(hash, keys)).values())
