"""Notes on exceptions, on every version of Python."""

from __future__ import annotations

from rlmesh.notes import add_note

__all__ = ["add_note", "notes_of"]


def notes_of(error: BaseException) -> list[str]:
    """The notes of an error."""
    notes: list[str] = vars(error).get("__notes__", [])
    return notes
