"""Checks a commit message, given its file: the rule of CONTRIBUTING.md."""

from __future__ import annotations

import sys
from pathlib import Path

LONGEST_SUBJECT = 71


def complaint(message: str) -> str | None:
    """What is wrong with a commit message, with what to do; None where nothing is."""
    kept = [line for line in message.splitlines() if not line.startswith("#")]
    subject, *rest = kept or [""]
    if subject.startswith(("Merge ", "Revert ", "fixup! ", "squash! ")):
        return None
    if not subject.strip():
        return "The commit message is empty: say in the first line what the change does."
    if len(subject) > LONGEST_SUBJECT:
        return (
            f"The subject has {len(subject)} characters, and {LONGEST_SUBJECT} are allowed: "
            "shorten it, and say the rest in the body."
        )
    if rest and rest[0].strip():
        return "The second line is not blank: leave one line between subject and body."
    if not any(line.strip() for line in rest):
        return "There is no body: say after a blank line why the change is made."
    return None


if __name__ == "__main__":
    sys.exit(complaint(Path(sys.argv[1]).read_text(encoding="utf-8")))
