"""All snippets of the page "Measure a policy", also those that need scipy."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from support.repository import ROOT

_SNIPPET = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def test_the_snippets_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("scipy")
    monkeypatch.chdir(tmp_path)
    found = _SNIPPET.findall((ROOT / "docs" / "evaluating.md").read_text())
    assert len(found) > 4
    names: dict[str, Any] = {"__name__": "page"}
    for snippet in found:
        exec(compile(snippet, "docs/evaluating.md", "exec"), names)  # noqa: S102 # of this repository
