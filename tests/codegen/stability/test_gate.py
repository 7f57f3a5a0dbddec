"""The gate catches what breaks a promise, and lets pass what breaks none."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from codegen.generate import generate
from codegen.stability.gate import PARTS, Part, check
from codegen.tree import write
from support.api_edits import BREAKING, HARMLESS, METADATA, Edit
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
            if path.is_file()
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


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    return Copy(tmp_path_factory.mktemp("copy"))


@pytest.fixture
def copy(pristine: Copy) -> Iterator[Copy]:
    yield pristine
    pristine.restore()


def parts_that_read(paths: set[str]) -> list[Part]:
    """The parts that can find anything in these files; the others find what they found before."""
    return [
        part
        for part in PARTS
        if any(path == read or path.startswith(f"{read}/") for path in paths for read in part.reads)
    ]


def test_the_repository_keeps_its_promises(pristine: Copy) -> None:
    assert check(ROOT) == []
    assert check(pristine.root) == [], "the copy lacks something that the gate reads"


@pytest.mark.parametrize("edit", BREAKING, ids=lambda edit: edit.title)
def test_what_breaks_a_promise_is_told_in_a_line(copy: Copy, edit: Edit) -> None:
    for change in edit.changes:
        change(copy.root)
    lines = check(copy.root, parts_that_read(copy.changed()))
    assert len(lines) == len(edit.lines), "\n".join(lines)
    for line, start in zip(lines, edit.lines, strict=True):
        assert line.startswith(start)
        assert "\n" not in line


@pytest.mark.parametrize("edit", HARMLESS, ids=lambda edit: edit.title)
def test_what_breaks_nothing_passes(copy: Copy, edit: Edit) -> None:
    for change in edit.changes:
        change(copy.root)
    changed = copy.changed()
    assert changed
    if METADATA in changed or any(path.startswith("schema/") for path in changed):
        write(generate(copy.root), copy.root / "generated")
    assert check(copy.root, parts_that_read(copy.changed()) or PARTS) == []
