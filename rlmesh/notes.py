"""Notes on exceptions, which Python 3.10 keeps and does not show."""

from __future__ import annotations

import sys

__all__ = ["add_note"]


def add_note(error: BaseException, note: str) -> None:
    """Adds a note as `BaseException.add_note` does, which Python 3.10 does not have."""
    if sys.version_info >= (3, 11):
        error.add_note(note)
    else:
        vars(error).setdefault("__notes__", []).append(note)
