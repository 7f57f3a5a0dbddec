"""Notes on exceptions, which Python 3.10 does not have."""

from __future__ import annotations


def add_note(error: BaseException, note: str) -> None:
    """Adds a note, as `BaseException.add_note` of Python 3.11 does; pytest shows it."""
    vars(error).setdefault("__notes__", []).append(note)


def notes_of(error: BaseException) -> list[str]:
    """The notes of an error."""
    notes: list[str] = vars(error).get("__notes__", [])
    return notes
