"""`gymnasium.utils.env_checker.check_env` on a client, registered environments and others."""

from __future__ import annotations

import contextlib
import warnings
from typing import Any

import gymnasium
import pytest
from gymnasium.utils.env_checker import check_env

import rlmesh
from support import sample_envs
from support.sample_envs import EchoEnv, newest
from support.serving import serving

pytestmark = pytest.mark.usefixtures("transports_in_turn")

REGISTERED = [
    newest(name)
    for name in (
        "CartPole",
        "Acrobot",
        "MountainCar",
        "MountainCarContinuous",
        "Pendulum",
        "FrozenLake",
        "Taxi",
        "CliffWalking",
        "Blackjack",
    )
]


def remarks(env: gymnasium.Env[Any, Any], **settings: bool) -> set[str]:
    """What `check_env` remarks on an environment that it lets pass."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_env(env, **settings)
    return {str(warning.message) for warning in caught}


@pytest.mark.parametrize("name", REGISTERED)
@pytest.mark.filterwarnings("ignore::UserWarning:gymnasium")
def test_a_registered_environment_passes_and_no_remark_is_new(name: str) -> None:
    with contextlib.closing(gymnasium.make(name)) as local:
        expected = remarks(local.unwrapped, skip_render_check=True)
    with serving(gymnasium.make(name)) as server:
        with contextlib.closing(rlmesh.RemoteEnv(server.address)) as client:
            assert remarks(client, skip_render_check=True) <= expected


def test_the_render_modes_of_a_registered_environment_pass() -> None:
    with serving(gymnasium.make("CartPole-v1", render_mode="rgb_array")) as server:
        with contextlib.closing(rlmesh.RemoteEnv(server.address)) as client:
            # The human mode would open a window.
            client.metadata["render_modes"] = ["rgb_array"]
            remarks(client)


@pytest.mark.parametrize("kind", sample_envs.SPACES)
def test_an_environment_that_is_not_registered_passes_and_no_remark_is_new(kind: str) -> None:
    expected = remarks(EchoEnv(kind, render_mode="ansi"))
    with serving(EchoEnv(kind, render_mode="ansi")) as server:
        with contextlib.closing(rlmesh.RemoteEnv(server.address)) as client:
            assert remarks(client) <= expected
