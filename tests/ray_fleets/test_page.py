"""The snippets of the page "Fleets on Ray", and the examples of docstrings, run on the cluster."""

from __future__ import annotations

import doctest
import re
from typing import Any

import pytest

import rlmesh.ray.fleet
import rlmesh.ray.models
from support.repository import ROOT

pytestmark = pytest.mark.timeout(300)
_SNIPPET = re.compile(
    r"^<!-- snippet: skip, tests/ray_fleets/[^\n]* -->\n```python\n(.*?)^```$",
    re.DOTALL | re.MULTILINE,
)


@pytest.fixture(autouse=True)
def _on_the_cluster(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # It is connected already.
    monkeypatch.setattr("ray.init", lambda **_: None)
    monkeypatch.setattr("ray.shutdown", lambda: None)


def test_the_snippets_of_the_page_run() -> None:
    found = _SNIPPET.findall((ROOT / "docs" / "ray.md").read_text())
    assert len(found) >= 2
    names: dict[str, Any] = {"__name__": "page"}
    for snippet in found:
        exec(compile(snippet, "docs/ray.md", "exec"), names)  # noqa: S102 # of this repository


@pytest.mark.parametrize("module", [rlmesh.ray.fleet, rlmesh.ray.models])
def test_the_examples_of_docstrings_run(module: Any) -> None:
    results = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert results.attempted > 0
    assert results.failed == 0
