"""Names the elements of an array that a rule does not hold for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rlmesh.values.misfit import shown

__all__ = ["Fault", "element", "faults"]


@dataclass(frozen=True, slots=True)
class Fault:
    """The elements of one lane that a rule does not hold for.

    Attributes:
        lane: The lane, None where there is no lane axis.
        index: The first of them, in the whole array.
        within: The first of them, in its lane.
        others: How many more there are in that lane.
    """

    lane: int | None
    index: tuple[int, ...]
    within: tuple[int, ...]
    others: int

    @property
    def more(self) -> str:
        """What a message says of the others."""
        return f" (and {self.others} more)" if self.others else ""


def faults(mask: npt.NDArray[np.bool_], *, vector: bool) -> Iterator[Fault]:
    """The faults of an array, lane by lane.

    Args:
        mask: Where a rule does not hold.
        vector: Whether the first axis is that of the lanes.
    """
    if not mask.any():
        return
    rows = mask.reshape(len(mask) if vector else 1, -1)
    firsts, counts = rows.argmax(axis=1).tolist(), np.count_nonzero(rows, axis=1).tolist()
    for row in np.flatnonzero(counts).tolist():
        within = _unravel(firsts[row], mask.shape[1:] if vector else mask.shape)
        index = (row, *within) if vector else within
        yield Fault(row if vector else None, index, within, counts[row] - 1)


def _unravel(position: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    index: list[int] = []
    for length in reversed(shape):
        position, along = divmod(position, length)
        index.append(along)
    return tuple(reversed(index))


def element(value: Any, within: tuple[int, ...]) -> str:
    """An element and where it stands in its lane: `2.5 at [1, 0]`."""
    at = f" at {list(within)}" if within else ""
    return f"{shown(value)}{at}"
