"""Some packages of `make compatibility`, each served from a process."""

from __future__ import annotations

import importlib.util

import pytest

from compatibility.packages import PACKAGES, Package
from compatibility.probe import probe

# There are wheels of EnvPool for Linux alone.
LIGHT = {"BabyAI-GoToLocal-v0", "compatibility.factories:small_pistons"}
if importlib.util.find_spec("envpool"):
    LIGHT.add("envpool:make_gymnasium")
STEPS = 50


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "package", [each for each in PACKAGES if each.env in LIGHT], ids=lambda each: each.name
)
def test_steps_are_those_of_the_environment_in_this_process(
    package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    found = probe(package, 0.0, STEPS)
    assert found["differences"] == found["infos"] == {}
    assert all(rate > 0 for rate in found["rates"].values())
