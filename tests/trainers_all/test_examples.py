"""The examples with heavy trainers learn remotely what they learn in their own process."""

from __future__ import annotations

import logging
import runpy
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import SyncVectorEnv

from support.repository import ROOT
from support.serving import remote, serving

EXAMPLES = ROOT / "examples" / "trainers"
STEPS = 256

# Networks this small are slower on several threads.
torch.set_num_threads(1)

# Both warn of their own code.
pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("ray"),
]


def cartpole() -> Any:
    return gymnasium.make("CartPole-v1")


def assert_equal_weights(actual: dict[str, Any], expected: dict[str, Any]) -> None:
    assert actual.keys() == expected.keys()
    assert actual
    for key, value in expected.items():
        assert np.array_equal(actual[key], value), key


def test_d3rlpy_learns_the_same_weights_online_and_offline(
    caplog: pytest.LogCaptureFixture,
) -> None:
    learn = runpy.run_path(str(EXAMPLES / "d3rlpy_dqn.py"))["learn"]
    expected = learn(cartpole(), STEPS)
    with remote(cartpole()) as client, caplog.at_level(logging.WARNING, "rlmesh"):
        weights = learn(client, STEPS)
        assert [record for record in caplog.records if "rlmesh" in record.name] == []
    assert_equal_weights(weights, expected)


def rllib() -> dict[str, Any]:
    return runpy.run_path(str(EXAMPLES / "rllib_ppo.py"))


@pytest.mark.usefixtures("ray")
def test_rllib_learns_the_same_weights_from_a_single_environment() -> None:
    names = rllib()
    expected = names["learn"](lambda _: cartpole(), STEPS)
    with serving(cartpole()) as server:
        assert_equal_weights(
            names["learn"](names["connect"], STEPS, address=server.address), expected
        )


@pytest.mark.usefixtures("ray")
def test_rllib_learns_the_same_weights_from_a_session_for_each_sub_environment() -> None:
    names = rllib()
    expected = names["learn"](lambda _: cartpole(), STEPS, num_envs=2)
    with serving(cartpole, sessions=2) as server:
        assert_equal_weights(
            names["learn"](names["connect"], STEPS, address=server.address, num_envs=2), expected
        )


@pytest.mark.usefixtures("ray")
def test_rllib_learns_the_same_weights_from_a_vector_environment() -> None:
    names = rllib()
    several: Any = {"num_envs": 2, "mode": "vector_entry_point"}
    expected = names["learn"](
        lambda config: SyncVectorEnv([cartpole] * config["num_envs"]), STEPS, **several
    )
    with serving([cartpole() for _ in range(2)]) as server:
        assert_equal_weights(
            names["learn"](names["connect"], STEPS, address=server.address, **several), expected
        )
