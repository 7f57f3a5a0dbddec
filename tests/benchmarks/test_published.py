"""What the documentation says of speed is what the raw results say."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import fleet_results, network, publishing
from benchmarks.results import Run


def run() -> Run:
    return Run.from_json(publishing.RESULTS.read_text())


@pytest.mark.parametrize("page", [publishing.PAGE, publishing.README], ids=lambda page: page.name)
def test_the_numbers_of_a_page_are_those_of_the_raw_results(page: Path) -> None:
    assert page.read_text() == publishing.pages(run())[page]


def test_the_raw_results_are_kept_as_they_are() -> None:
    assert run().to_json() == publishing.RESULTS.read_text()


def test_the_numbers_across_a_network_are_those_of_the_raw_results() -> None:
    page, rates = network.PAGE.read_text(), network.published()
    assert page == publishing.with_block(page, network.block(rates))
    assert network.to_json(rates) == network.RESULTS.read_text()


def test_the_numbers_of_fleets_on_ray_are_those_of_the_raw_results() -> None:
    page, kept = fleet_results.PAGE.read_text(), fleet_results.RESULTS.read_text()
    results = fleet_results.Results.from_json(kept)
    assert page == publishing.with_block(page, fleet_results.block(results))
    assert results.to_json() == kept


@pytest.mark.parametrize("text", ["# A page\n", ""])
def test_a_page_without_a_place_for_numbers_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected one block between"):
        publishing.with_block(text, "numbers")
