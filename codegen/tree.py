"""Compares generated text with a folder, and writes it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_LONGEST_DIFF = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """In what a folder differs from the generated text; paths under the folder, sorted.

    Attributes:
        stale: Files with another text.
        missing: Files that are not there.
        surplus: Files that nothing generates.
    """

    stale: tuple[str, ...]
    missing: tuple[str, ...]
    surplus: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.stale or self.missing or self.surplus)


def compare(tree: Mapping[str, str], folder: Path) -> Differences:
    """Compare the text of every file with what stands in a folder."""
    present = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    common = sorted(present & tree.keys())
    return Differences(
        stale=tuple(path for path in common if (folder / path).read_bytes() != tree[path].encode()),
        missing=tuple(sorted(tree.keys() - present)),
        surplus=tuple(sorted(present - tree.keys())),
    )


def write(tree: Mapping[str, str], folder: Path) -> Differences:
    """Make a folder hold exactly the generated text; return what had to change."""
    differences = compare(tree, folder)
    for path in (*differences.stale, *differences.missing):
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(tree[path].encode())
    for path in differences.surplus:
        target = folder / path
        target.unlink()
        for parent in target.relative_to(folder).parents[:-1]:
            if not any((folder / parent).iterdir()):
                (folder / parent).rmdir()
    return differences


def diff(tree: Mapping[str, str], folder: Path, path: str) -> list[str]:
    """How a stale file differs, the first lines of it."""
    lines = list(
        difflib.unified_diff(
            (folder / path).read_text(encoding="utf-8", errors="replace").splitlines(),
            tree[path].splitlines(),
            f"generated/{path}",
            f"generated/{path} (as the sources give it)",
            lineterm="",
            n=1,
        )
    )
    rest = len(lines) - _LONGEST_DIFF
    return lines if rest <= 0 else [*lines[:_LONGEST_DIFF], f"... and {rest} lines more"]
