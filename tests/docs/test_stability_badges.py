"""The labels of the API reference are those of api_metadata.json."""

from __future__ import annotations

import importlib.util
import json
from typing import Any

import pytest

from support.repository import ROOT

pytest.importorskip("sphinx", reason="the extra `docs` installs Sphinx, and `make check` has it")


def load_extension() -> Any:
    path = ROOT / "docs" / "_extensions" / "stability_badges.py"
    spec = importlib.util.spec_from_file_location("stability_badges", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_exports_and_less_stable_members_have_a_label_and_aliases_none() -> None:
    metadata = json.loads((ROOT / "api_metadata.json").read_text())
    labels = load_extension().labels(metadata)
    assert labels["rlmesh.RemoteEnv"] == "Stable"
    assert labels["rlmesh.RemoteEnv.stats"] == "Experimental"
    assert labels["rlmesh.Transitions"] == "Experimental"
    assert "rlmesh.RlmeshError" not in labels
    assert "rlmesh.RemoteEnv.step" not in labels


def test_a_label_has_the_style_of_the_generated_pages() -> None:
    assert any(
        '<span class="stability stability-not-supported">Not supported</span>' in line
        for line in load_extension().badge("Not supported")
    )
