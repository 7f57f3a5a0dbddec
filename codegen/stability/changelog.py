"""What users read of a break: a line of the changelog, with the migration."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from codegen.errors import SourceError
from codegen.runtime._stability import Stability
from codegen.stability.breaks import Break

CHANGELOG = "CHANGELOG.md"
_SECTION = "## [Unreleased]"
_MIGRATION = re.compile(r"Migration:\s*\S")


def told_as(name: str) -> str:
    """What the changelog calls a thing: without its module, a constructor by its class."""
    parts = name.removesuffix(".__init__").split(".")
    classes = [place for place, part in enumerate(parts) if part[:1].isupper()]
    return ".".join(parts[classes[0] :] if classes else parts[-1:])


def how_to_record(name: str, label: Stability) -> str:
    """What to do about a break that is meant."""
    note = ", with `Migration:` and how to go on" if label is Stability.STABLE else ""
    return (
        f"If it is meant: name `{told_as(name)}` in {CHANGELOG} under [Unreleased]{note}, and run "
        "`make baseline`."
    )


def untold(root: Path, breaks: Iterable[Break]) -> list[str]:
    """One line for each break that the changelog must mention and does not.

    Raises:
        SourceError: The changelog cannot be read.
    """
    wanted = list(breaks)
    if not wanted:
        return []
    entries = _entries(root)
    lines: list[str] = []
    for each in wanted:
        name = re.compile(rf"`[^`]*(?<!\w){re.escape(told_as(each.name))}(?!\w)[^`]*`")
        found = [entry for entry in entries if name.search(entry)]
        if not found:
            lines.append(
                f"{CHANGELOG}: expected an entry under [Unreleased] that names "
                f"`{told_as(each.name)}`: {each.what.partition(';')[0]}"
            )
        elif each.label is Stability.STABLE and not any(map(_MIGRATION.search, found)):
            lines.append(
                f"{CHANGELOG}: expected `Migration:` and how to go on in the entry that names "
                f"`{told_as(each.name)}`, which was Stable"
            )
    return list(dict.fromkeys(lines))


def _entries(root: Path) -> list[str]:
    """The list items of what is not released yet, each on one line."""
    try:
        text = (root / CHANGELOG).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError([f"{CHANGELOG}: it cannot be read: {error}"]) from None
    _, found, rest = text.partition(f"{_SECTION}\n")
    if not found:
        raise SourceError([f"{CHANGELOG}: expected a line {_SECTION}, for what is not released"])
    section = re.split(r"^## ", rest, maxsplit=1, flags=re.MULTILINE)[0]
    return [" ".join(item.split()) for item in re.split(r"^[-*] ", section, flags=re.MULTILINE)[1:]]
