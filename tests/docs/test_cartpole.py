"""The learning curve on the page "With your trainer" is that of a run of `make cartpole`."""

from __future__ import annotations

import json

from support.repository import ROOT


def test_the_page_has_the_numbers_of_a_run_that_reached_its_goal() -> None:
    result = json.loads((ROOT / "docs/_static/cartpole.json").read_text())
    page = (ROOT / "docs/trainers.md").read_text()
    steps, mean = result["curve"][-1]
    assert (steps, mean) == (result["steps"], result["mean return"])
    assert mean >= 475
    assert f"It took {steps:,} steps and {result['seconds']} seconds" in page
    assert f"to {mean} over {steps:,} steps" in page
    assert (ROOT / "docs/_static/cartpole.svg").is_file()
