"""A package in a release that is too old is an error that says which fits."""

from __future__ import annotations

import importlib
import sys

import gymnasium
import pytest

from rlmesh.package_versions import require_version

MODULE = "rlmesh.client.gymnasium_version"


@pytest.mark.parametrize("installed", ["1.2.2", "1.10.0", "1.3.0rc1", "2"])
def test_a_release_that_is_new_enough_passes(installed: str) -> None:
    require_version("this", "package", installed, "1.2.2")


@pytest.mark.parametrize("installed", ["0.29.1", "1.2.1", "1.2", "1.2.0a1"])
def test_an_older_release_of_gymnasium_is_refused_with_the_one_that_fits(
    installed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gymnasium, "__version__", installed)
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    with pytest.raises(ImportError) as caught:
        importlib.import_module(MODULE)
    assert str(caught.value) == (
        f"A client of RLMesh needs gymnasium 1.2.2 or newer, and {installed} is installed; "
        f"pip install 'gymnasium>=1.2.2'"
    )
