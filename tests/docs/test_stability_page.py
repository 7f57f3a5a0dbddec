"""The page on stability claims what the gate does."""

from __future__ import annotations

import itertools

import pytest

from codegen.runtime._stability import Stability
from support.api_edits import BREAKING, HARMLESS, Edit
from support.repository import ROOT

PAGE = (ROOT / "docs" / "stability.md").read_text()


def claims(heading: str) -> list[str]:
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return [line.removeprefix("- ") for line in section.splitlines() if line.startswith("- ")]


@pytest.mark.parametrize(
    ("heading", "edits"),
    [
        ("What does not happen to something Stable", [*itertools.chain(*BREAKING.values())]),
        ("What may happen to it", HARMLESS),
    ],
)
def test_every_claim_is_an_edit_that_the_gate_knows(heading: str, edits: list[Edit]) -> None:
    tried = {edit.title for edit in edits}
    found = claims(heading)
    assert len(found) > 5
    assert not set(found) - tried


@pytest.mark.parametrize("label", [Stability.STABLE, Stability.EXPERIMENTAL])
def test_the_labels_promise_what_the_generated_pages_say(label: Stability) -> None:
    assert f"| {label} | {label.meaning} |" in PAGE
