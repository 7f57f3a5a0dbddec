"""Environments of other libraries that are served by mistake."""

from __future__ import annotations

from typing import Any

import pytest
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

import rlmesh
from rlmesh.errors import InvalidEnvError
from support.deviating_envs import Deviating


def stable_baselines() -> Any:
    return DummyVecEnv([Deviating])


CASES: dict[str, tuple[Any, str, str]] = {
    "VecEnv": (stable_baselines, "VecEnv of Stable-Baselines3", "as a list"),
    "VecEnvWrapper": (
        lambda: VecNormalize(stable_baselines()),
        "VecEnv of Stable-Baselines3",
        "as a list",
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
