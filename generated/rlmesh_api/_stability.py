"""What the stability tables are made of.

This module lives in codegen/runtime/ and is copied into the generated package; edit it there.
"""

from __future__ import annotations

from dataclasses import dataclass

# The generator runs this module before it has written the package.
from ._enums import StrEnum  # noqa: TID252 - see above

__all__ = ["Export", "Metric", "SpaceSupport", "Stability"]


class Stability(StrEnum):
    """How much one may rely on a thing; the members stand from the most stable to the least."""

    STABLE = "Stable"
    EXPERIMENTAL = "Experimental"
    INTERNAL = "Internal"
    NOT_SUPPORTED = "Not supported"

    @property
    def meaning(self) -> str:
        """What the label promises."""
        return _MEANINGS[self]


_MEANINGS = {
    Stability.STABLE: (
        "It stays as it is within a major version: code that uses it keeps working."
    ),
    Stability.EXPERIMENTAL: (
        "It works and is tested; a minor version may change it, and says so in the changelog."
    ),
    Stability.INTERNAL: "It is there for RLMesh itself and may change or go at any time.",
    Stability.NOT_SUPPORTED: "It is refused at once, by name.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceSupport:
    """What RLMesh does with one of Gymnasium's spaces.

    Attributes:
        gymnasium: The name of Gymnasium's class.
        rlmesh: The name of the class in `rlmesh.spaces`. None where the space is not supported.
        kind: The kind of the contract's `Space`. None where the space is not supported.
        stability: How stable the support is.
        notes: What is kept, or why it is refused.
    """

    gymnasium: str
    rlmesh: str | None
    kind: str | None
    stability: Stability
    notes: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """One public name of a module.

    Attributes:
        name: The name.
        kind: What it is: a class, an exception, a function or a constant.
        stability: How stable it is.
        summary: What it is for, in one sentence.
    """

    name: str
    kind: str
    stability: Stability
    summary: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric that a server shows to Prometheus.

    Attributes:
        name: Its name there.
        kind: What it is: a counter, a gauge or a summary, which has a sum and a count.
        labels: The names of its labels.
        endpoints: The kinds of endpoint that have it: `environment`, `model`.
        stability: How stable name and labels are.
        meaning: What is measured, and in which unit.
    """

    name: str
    kind: str
    labels: tuple[str, ...]
    endpoints: tuple[str, ...]
    stability: Stability
    meaning: str
