"""EnvPool declares the spaces of one sub-environment; it is served as a vector environment."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import rlmesh
from rlmesh.errors import InvalidArgumentError, InvalidEnvError
from support.comparing import assert_same
from support.serving import remote_vector

# There are wheels of it for Linux alone.
envpool: Any = pytest.importorskip("envpool")

# Gymnasium warns of its bounds, whenever somebody reads a space.
pytestmark = pytest.mark.filterwarnings("ignore:.*precision lowered:UserWarning")


def cartpoles(**settings: Any) -> Any:
    return envpool.make_gymnasium("CartPole-v1", num_envs=2, seed=3, **settings)


def test_its_steps_are_as_in_process() -> None:
    local = cartpoles()
    with remote_vector(cartpoles()) as client:
        assert client.autoreset_mode is AutoresetMode.NEXT_STEP
        assert client.single_observation_space == local.observation_space
        assert client.single_action_space == local.action_space
        assert_same(client.reset(), local.reset())
        ended = 0
        for _ in range(30):
            actual: Any = client.step(np.array([1, 1]))
            observations, rewards, terminations, truncations, infos = local.step(np.array([1, 1]))
            assert_same(actual[0], observations)
            assert_same(actual[1], rewards.astype(np.float64))
            assert_same(actual[2:], (terminations, truncations, infos))
            ended += terminations.sum()
        assert ended > 1
    local.close()


def test_its_seeds_are_those_that_it_was_made_with() -> None:
    with remote_vector(cartpoles()) as client:
        with pytest.raises(InvalidArgumentError, match="takes no seed; reset without one"):
            client.reset(seed=1)
        client.reset()


def test_steps_of_some_sub_environments_alone_are_refused() -> None:
    with pytest.raises(InvalidEnvError, match=r"batch_size=1 and num_envs=2.*without batch_size"):
        rlmesh.EnvServer(cartpoles(batch_size=1))
