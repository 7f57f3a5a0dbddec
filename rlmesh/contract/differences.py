"""What two contracts differ in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["ABSENT", "ContractDifference", "shown"]

_LONGEST = 200


class _Absent:
    """What stands in for a value where there is none."""

    def __repr__(self) -> str:
        return "absent"


ABSENT = _Absent()


def shown(value: object) -> str:
    """A value as differences show it: a text as it is, the rest as Python writes it, cut short."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractDifference:
    """One thing in which a contract differs from an older one.

    Attributes:
        place: Where it stands, `$.action_space.arm[1]`.
        aspect: What differs there, `dtype`; the page "Contracts" lists them all.
        old: What the older contract says, as text.
        new: What the newer one says.
        breaking: Whether what was written or trained for the older one may fail with the newer.
    """

    place: str
    aspect: str
    old: str
    new: str
    breaking: bool

    def __str__(self) -> str:
        return f"{self.place}: {self.aspect} was {self.old}, is {self.new}"

    def to_dict(self) -> dict[str, Any]:
        """The difference as JSON data."""
        return {
            "place": self.place,
            "aspect": self.aspect,
            "old": self.old,
            "new": self.new,
            "breaking": self.breaking,
        }
