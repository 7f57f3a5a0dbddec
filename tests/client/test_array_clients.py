"""What the clients of array libraries share."""

from __future__ import annotations

import importlib
import sys

import pytest


@pytest.mark.parametrize(("module", "library"), [("rlmesh.jax", "jax"), ("rlmesh.torch", "torch")])
def test_a_library_that_is_missing_is_named_with_what_to_install(
    module: str, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(sys.modules, module, raising=False)
    with pytest.raises(ImportError, match=f"{module} needs .*; pip install {library}"):
        importlib.import_module(module)
