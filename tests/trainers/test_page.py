"""The snippets of the page "With your trainer" run, in their order and in one namespace."""

from __future__ import annotations

import doctest
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import rlmesh.sb3
from support.repository import ROOT


def test_the_example_of_the_vec_env_runs() -> None:
    results = doctest.testmod(rlmesh.sb3, optionflags=doctest.ELLIPSIS)
    assert results.attempted > 0
    assert results.failed == 0


# Minari warns of what a dataset does not say, and leaves its temporary folders to Python.
@pytest.mark.filterwarnings("ignore::UserWarning:minari")
@pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_snippets_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    np.random.seed(1)  # noqa: NPY002 # the generator of Stable-Baselines3
    torch.manual_seed(1)
    page = (ROOT / "docs" / "trainers.md").read_text()
    snippets = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    assert len(snippets) == page.count("```python")
    names: dict[str, Any] = {"__name__": "page"}
    try:
        for snippet in snippets:
            exec(compile(snippet, "docs/trainers.md", "exec"), names)  # noqa: S102 # of this repository
    finally:
        for server in ("single", "several"):
            if server in names:
                names[server].shutdown()
