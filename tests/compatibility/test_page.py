"""The page of what other packages were run with is what the recorded results give."""

from __future__ import annotations

import json
from typing import Any

from compatibility.packages import PACKAGES, RENDERINGS
from compatibility.page import PAGE, RESULTS, table, with_results

RECORDED: dict[str, Any] = json.loads(RESULTS.read_text())


def test_the_page_holds_the_recorded_results() -> None:
    assert with_results(PAGE.read_text(), RECORDED) == PAGE.read_text()


def test_what_is_recorded_is_known_and_in_its_order() -> None:
    for kind, known in (
        ("environments", [package.environment for package in PACKAGES]),
        ("renderings", [rendering.name for rendering in RENDERINGS]),
    ):
        assert list(RECORDED[kind]) == [name for name in known if name in RECORDED[kind]]


def test_each_known_environment_stands_on_the_page() -> None:
    for package in PACKAGES:
        assert f"`{package.environment}`" in PAGE.read_text()


def test_what_differs_and_what_was_not_run_stands_below_the_table() -> None:
    rates = {"in-process": 4000.4, "shm": 3000.0, "direct": 2000.0, "grpc": 1000.0}
    found: dict[str, Any] = {
        "package": "p",
        "version": "1",
        "steps": 500,
        "differences": {},
        "infos": {},
    }
    found["rates"] = rates
    frames = {
        "package": "p",
        "environment": "seen",
        "backend": "EGL",
        "shape": [4, 5, 3],
        "dtype": "uint8",
        "differences": "",
        "rate": 1234.5,
    }
    lines = table(
        {
            "machine": "a machine",
            "environments": {
                "same": found,
                "other": {**found, "differences": {"shm": "step 3", "grpc": "step 3"}},
                "almost": {**found, "infos": {"shm": "step 4"}},
                "missing": {"package": "q", "reason": "no wheel"},
            },
            "renderings": {
                "seen, EGL": frames,
                "seen, OSMesa": {**frames, "backend": "OSMesa", "differences": "frame 2"},
                "blind, EGL": {"environment": "blind", "backend": "EGL", "reason": "no library"},
            },
        }
    ).splitlines()
    assert "| p | 1 | `same` | 500 | yes | 4,000 | 3,000 | 2,000 | 1,000 |" in lines
    assert "| p | 1 | `other` | 500 | no | 4,000 | 3,000 | 2,000 | 1,000 |" in lines
    assert "| p | 1 | `almost` | 500 | but infos | 4,000 | 3,000 | 2,000 | 1,000 |" in lines
    assert lines.count("- `other`, differences: `step 3`") == 1
    assert "- `almost`, infos: `step 4`" in lines
    assert "- `missing` of q was not run: `no wheel`" in lines
    assert "| p | `seen` | EGL | 4 × 5 × 3, uint8 | yes | 1,234 |" in lines
    assert "| p | `seen` | OSMesa | 4 × 5 × 3, uint8 | no | 1,234 |" in lines
    assert "- `seen` with OSMesa: `frame 2`" in lines
    assert "- `blind` with EGL was not run: `no library`" in lines
