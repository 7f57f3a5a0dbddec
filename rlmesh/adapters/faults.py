"""Why a step does not fit: where it is compiled for a space, and where it is given a value."""

from __future__ import annotations

from rlmesh.spaces.summary import summarize
from rlmesh_api.contract import Space

__all__ = ["StepFault", "ValueFault", "brief"]


class StepFault(Exception):  # noqa: N818 - a finding; `adapt` turns it into an error of the tree
    """A step that cannot be applied to the values of a space.

    Args:
        expected: What it takes, and what to do.
        got: What there is.
        place: Where below the step's own place; empty for that place.
    """

    def __init__(self, expected: str, got: object, place: tuple[str, ...] = ()) -> None:
        super().__init__(f"expected {expected}, got {got}")
        self.expected = expected
        self.got: str = str(got)
        self.place = place


class ValueFault(Exception):  # noqa: N818 - likewise
    """A value that a step cannot change, although its space may hold it."""


def brief(space: Space) -> str:
    """A space in few words: `Box (3,) float32, -1 to 1`."""
    name, shape, dtype, values = summarize(space)
    head = " ".join(part for part in (name, shape, dtype) if part)
    return f"{head}, {values}" if values else head
