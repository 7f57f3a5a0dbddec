"""Names the elements of an array that break a rule."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rlmesh.codec.slab.violations import shown

__all__ = ["BadElement", "bad_elements", "element"]


@dataclass(frozen=True, slots=True)
class BadElement:
    """The elements of one sub-environment that break a rule.

    Attributes:
        env_index: The sub-environment, None where there is no sub-environment axis.
        index: The first of them, in the whole array.
        within: The first of them, in its sub-environment.
        others: How many more there are in that sub-environment.
    """

    env_index: int | None
    index: tuple[int, ...]
    within: tuple[int, ...]
    others: int

    @property
    def more(self) -> str:
        """How a message ends when there are others."""
        return f" (and {self.others} more)" if self.others else ""


def bad_elements(mask: npt.NDArray[np.bool_], *, vector: bool) -> Iterator[BadElement]:
    """The bad elements of an array, sub-environment by sub-environment.

    Args:
        mask: Where the rule is broken.
        vector: Whether the first axis is that of the sub-environments.
    """
    if not mask.any():
        return
    rows = mask.reshape(len(mask) if vector else 1, -1)
    firsts, counts = rows.argmax(axis=1).tolist(), np.count_nonzero(rows, axis=1).tolist()
    for row in np.flatnonzero(counts).tolist():
        within = _unravel(firsts[row], mask.shape[1:] if vector else mask.shape)
        index = (row, *within) if vector else within
        yield BadElement(row if vector else None, index, within, counts[row] - 1)


def _unravel(position: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    index: list[int] = []
    for length in reversed(shape):
        position, along = divmod(position, length)
        index.append(along)
    return tuple(reversed(index))


def element(value: Any, within: tuple[int, ...]) -> str:
    """An element and where it stands in its sub-environment: `2.5 at [1, 0]`."""
    at = f" at {list(within)}" if within else ""
    return f"{shown(value)}{at}"
