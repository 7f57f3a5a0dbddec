"""The page of what other packages were run with is what the recorded results give."""

from __future__ import annotations

import json
from typing import Any

from compatibility.packages import PACKAGES
from compatibility.page import PAGE, RESULTS, table, with_results

RECORDED: dict[str, Any] = json.loads(RESULTS.read_text())


def test_the_page_holds_the_recorded_results() -> None:
    assert with_results(PAGE.read_text(), RECORDED) == PAGE.read_text()


def test_each_known_environment_is_recorded() -> None:
    assert list(RECORDED["environments"]) == [package.environment for package in PACKAGES]


def test_what_differs_and_what_was_not_run_stands_below_the_table() -> None:
    rates = {"in-process": 4000.4, "shm": 3000.0, "direct": 2000.0, "grpc": 1000.0}
    found = {"package": "p", "version": "1", "differences": {}, "infos": {}, "rates": rates}
    lines = table(
        {
            "machine": "a machine",
            "environments": {
                "same": found,
                "other": {**found, "differences": {"shm": "step 3", "grpc": "step 3"}},
                "almost": {**found, "infos": {"shm": "step 4"}},
                "missing": {"package": "q", "reason": "no wheel"},
            },
        }
    ).splitlines()
    assert "| p | 1 | `same` | yes | 4,000 | 3,000 | 2,000 | 1,000 |" in lines
    assert "| p | 1 | `other` | no | 4,000 | 3,000 | 2,000 | 1,000 |" in lines
    assert "| p | 1 | `almost` | but infos | 4,000 | 3,000 | 2,000 | 1,000 |" in lines
    assert lines.count("- `other`, differences: `step 3`") == 1
    assert "- `almost`, infos: `step 4`" in lines
    assert "- `missing` of q was not run: `no wheel`" in lines
