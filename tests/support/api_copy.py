"""A copy of what the gate reads."""

from __future__ import annotations

import shutil
from pathlib import Path

from codegen.stability.gate import PARTS, Part
from support.api_edits import METADATA
from support.repository import ROOT

FILES = (METADATA, "buf.yaml", "CHANGELOG.md")
FOLDERS = ("schema", "generated", "rlmesh", "baseline")


class Copy:
    """A copy of what the gate reads, which can be put back as it was."""

    def __init__(self, root: Path) -> None:
        self.root = root
        ignored = shutil.ignore_patterns("__pycache__")
        for name in FOLDERS:
            shutil.copytree(ROOT / name, root / name, ignore=ignored)
        for name in FILES:
            shutil.copy(ROOT / name, root)
        (root / "tests" / "spaces").mkdir(parents=True)
        self._texts = self._read()

    def _read(self) -> dict[str, bytes]:
        return {
            path.relative_to(self.root).as_posix(): path.read_bytes()
            for path in self.root.rglob("*")
            if path.is_file() and path.parent.name != "__pycache__"
        }

    def changed(self) -> set[str]:
        """The files that are not as they were."""
        now = self._read()
        either = now.keys() | self._texts.keys()
        return {path for path in either if now.get(path) != self._texts.get(path)}

    def restore(self) -> None:
        for path in self.changed():
            if path in self._texts:
                (self.root / path).write_bytes(self._texts[path])
            else:
                (self.root / path).unlink()


def parts_that_read(paths: set[str]) -> list[Part]:
    """The parts that can find anything in these files; the others find what they found before."""
    return [
        part
        for part in PARTS
        if any(path == read or path.startswith(f"{read}/") for path in paths for read in part.reads)
    ]
