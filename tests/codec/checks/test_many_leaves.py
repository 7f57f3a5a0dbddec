"""Spaces of thousands of leaves, each of which is checked."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from rlmesh.errors import RlmeshError
from support.serving import remote

MANY = 3000


class Wide(gymnasium.Env[Any, Any]):
    """Has `MANY` leaves of a kind."""

    def __init__(self, leaf: spaces.Space[Any], value: Any) -> None:
        self.observation_space = spaces.Dict({str(index): leaf for index in range(MANY)})
        self.action_space = spaces.Discrete(2)
        self.observation = {str(index): value for index in range(MANY)}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        return self.observation, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self.observation, 0.0, False, False, {}


@pytest.mark.parametrize(
    ("leaf", "good", "bad"),
    [
        (spaces.Discrete(5), 4, 5),
        (spaces.Box(0, 1, (30,), np.float32), np.ones(30, np.float32), np.full(30, 2, np.float32)),
    ],
    ids=["small", "large"],
)
def test_the_last_of_thousands_of_leaves_is_checked(
    leaf: spaces.Space[Any], good: Any, bad: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLMESH_VALIDATION_POLICY", "strict")
    env = Wide(leaf, good)
    with remote(env) as client:
        observation, _ = client.reset()
        assert len(observation) == MANY
        env.observation[str(MANY - 1)] = bad
        with pytest.raises(RlmeshError, match=rf"\$\.?\W*{MANY - 1}\b"):
            client.step(0)
