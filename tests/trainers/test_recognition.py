"""Environments of other libraries that are served by mistake."""

from __future__ import annotations

from typing import Any

import pettingzoo
import pytest

import rlmesh
from rlmesh.errors import InvalidEnvError

CASES: dict[str, tuple[Any, str, str]] = {
    "ParallelEnv": (
        lambda: pettingzoo.make("parallel", "classic/rps_v2"),
        "PettingZoo environment",
        "Serve a wrapper",
    ),
    "AECEnv": (
        lambda: pettingzoo.make("aec", "classic/rps_v2"),
        "PettingZoo environment",
        "Serve a wrapper",
    ),
}


@pytest.mark.parametrize("factory", [False, True], ids=["environment", "factory"])
@pytest.mark.parametrize("name", CASES)
def test_an_environment_of_another_library_is_named_with_what_to_do(
    name: str, factory: bool
) -> None:
    make, what, remedy = CASES[name]
    with pytest.raises(InvalidEnvError, match=what) as caught:
        rlmesh.EnvServer(make if factory else make())
    assert remedy in str(caught.value)
