"""The gate catches what breaks a promise, and lets pass what breaks none."""

from __future__ import annotations

import pytest

from codegen.generate import generate
from codegen.stability.gate import PARTS, check
from codegen.tree import write
from support.api_copy import Copy, parts_that_read
from support.api_edits import BREAKING, HARMLESS, METADATA, Edit
from support.repository import ROOT


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
