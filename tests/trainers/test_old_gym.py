"""Gym 0.26: its spaces are read as Gymnasium's of the same names, and its environments served."""

from __future__ import annotations

import collections
import contextlib
import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest

from rlmesh import spaces
from rlmesh.errors import UnsupportedSpaceError
from support.comparing import assert_same
from support.serving import remote

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it warns of its age in several ways
    from gym import spaces as gym_spaces
    from gym.envs.classic_control import CartPoleEnv


def tree(package: Any) -> list[Any]:
    """Spaces of every kind that both packages have."""
    children = {"b": package.Discrete(3, start=-1), "a": package.MultiBinary([2, 3])}
    return [
        package.Box(-1, np.array([1, np.inf]), (2,), np.float64),
        package.Box(0, 255, (4, 4, 3), np.uint8),
        package.MultiDiscrete([[2, 3], [4, 5]]),
        package.Text(5, charset="ab"),
        package.Tuple(tuple(children.values())),
        package.Dict(children),
        package.Dict(collections.OrderedDict(children)),
    ]


@pytest.mark.parametrize("index", range(7))
def test_a_space_of_gym_is_carried_as_gymnasiums(index: int) -> None:
    expected: Any = tree(gymnasium.spaces)[index]
    made: Any = spaces.to_gymnasium_space(spaces.from_gymnasium_space(tree(gym_spaces)[index]))
    if isinstance(expected, gymnasium.spaces.Dict):
        # Gym keeps the order of an OrderedDict, Gymnasium sorts its keys as those of any other.
        order = list(tree(gym_spaces)[index].spaces)
        assert list(made.spaces) == order
        assert dict(made.spaces) == dict(expected.spaces)
    else:
        assert made == expected


@pytest.mark.parametrize("name", ["Graph", "Sequence"])
def test_what_is_refused_of_gymnasium_is_refused_of_gym(name: str) -> None:
    child = gym_spaces.Discrete(2)
    space = gym_spaces.Graph(child, None) if name == "Graph" else gym_spaces.Sequence(child)
    with pytest.raises(UnsupportedSpaceError, match=rf"\$: {name} is not supported"):
        spaces.from_gymnasium_space(space)


def test_an_environment_of_gym_is_what_gymnasiums_is() -> None:
    from gymnasium.envs.classic_control import CartPoleEnv as Local

    with remote(CartPoleEnv()) as client, contextlib.closing(Local()) as made:
        local: Any = made
        assert client.env_contract.metadata["rlmesh.conversions"] == {
            "observation_space": "gym.spaces.box.Box",
            "action_space": "gym.spaces.discrete.Discrete",
        }
        assert client.action_space == local.action_space
        assert client.reset(seed=1)[0].dtype == np.float32
        local.reset(seed=1)
        for action in (0, 1, 1):
            told: Any = client.step(np.int64(action))
            expected = local.step(np.int64(action))
            assert_same(told[2:], expected[2:])
            assert_same(told[0], expected[0])
