"""The one error of the generator."""

from __future__ import annotations

from collections.abc import Iterable


class SourceError(Exception):
    """The sources of truth are damaged, or disagree.

    Attributes:
        problems: One line each, naming the item and what to do.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))
