"""What the documentation says of speed is what the raw results say."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import publishing
from benchmarks.results import Run


def run() -> Run:
    return Run.from_json(publishing.RESULTS.read_text())


@pytest.mark.parametrize("page", [publishing.PAGE, publishing.README], ids=lambda page: page.name)
def test_the_numbers_of_a_page_are_those_of_the_raw_results(page: Path) -> None:
    assert page.read_text() == publishing.pages(run())[page]


def test_the_raw_results_are_kept_as_they_are() -> None:
    assert run().to_json() == publishing.RESULTS.read_text()


@pytest.mark.parametrize("text", ["# A page\n", ""])
def test_a_page_without_a_place_for_numbers_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected one block between"):
        publishing.with_block(text, "numbers")
