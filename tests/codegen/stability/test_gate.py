"""The gate catches what breaks a promise, and lets pass what breaks none.

To look at the whole package takes a second. So edits that have nothing to do with each other are
made together, and the gate must report exactly the lines of all of them.
"""

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


def found(copy: Copy, edits: list[Edit]) -> list[str]:
    """What the gate reports of edits."""
    copy.restore()
    copy.make(edits)
    changed = copy.changed()
    assert changed
    harmless = not any(edit.lines for edit in edits)
    if harmless and (METADATA in changed or any(path.startswith("schema/") for path in changed)):
        write(generate(copy.root), copy.root / "generated")
    return check(copy.root, parts_that_read(copy.changed()) or PARTS)


def assert_reported(copy: Copy, edits: list[Edit]) -> None:
    """Asserts that the gate reports the lines of these edits and nothing else."""
    lines = found(copy, edits)
    assert not [line for line in lines if "\n" in line]
    # All edits that make generated files stale share one line.
    expected = [*dict.fromkeys(start for edit in edits for start in edit.lines)]
    starts = [[start for start in expected if line.startswith(start)] for line in lines]
    if len(edits) == 1:
        assert starts == [[start] for start in expected], lines
    elif sorted(starts) != sorted([start] for start in expected):
        for edit in edits:
            assert_reported(copy, [edit])
        titles = [edit.title for edit in edits]
        pytest.fail(f"each alone is reported, but not together; make one alone: {titles}: {lines}")


def assert_each_reported(copy: Copy, edits: list[Edit]) -> None:
    while edits:
        copy.restore()
        made, edits = copy.make_together(edits)
        assert_reported(copy, made)


@pytest.mark.parametrize("kind", BREAKING)
def test_what_breaks_a_promise_is_reported_in_a_line(copy: Copy, kind: str) -> None:
    assert all(edit.lines for edit in BREAKING[kind])
    assert_each_reported(copy, BREAKING[kind])


def test_what_breaks_nothing_passes(copy: Copy) -> None:
    assert_each_reported(copy, HARMLESS)
