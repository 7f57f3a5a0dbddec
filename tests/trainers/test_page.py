"""The snippets of the page "With your trainer" run, in their order and in one namespace."""

from __future__ import annotations

import doctest
from pathlib import Path

import numpy as np
import pytest
import torch

import rlmesh.sb3
from support.trainer_snippets import run_snippets


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
    assert run_snippets("trainers/test_page") > 5
