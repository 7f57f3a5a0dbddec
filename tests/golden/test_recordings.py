"""Recordings of every released version are opened by this one, and hold what they held."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import rlmesh
from support.golden_recordings import RECORDINGS, contents

FILES = sorted(RECORDINGS.glob("*/*.mcap"))


def test_this_version_is_recorded() -> None:
    names = {path.stem for path in FILES if path.parent.name == rlmesh.__version__}
    assert names == {"single", "vector", "digest"}, "run `make golden`, and commit what it writes"


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name} {path.stem}")
def test_a_recording_holds_what_it_held(path: Path) -> None:
    expected = json.loads(path.with_suffix(".json").read_text())
    found = json.loads(json.dumps(contents(path)))
    assert found == expected, "the form of recordings has changed: have this version read old ones"
