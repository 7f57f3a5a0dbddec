"""What a client refuses to send, and that it goes on afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

import rlmesh
from rlmesh.errors import (
    ArgumentTypeError,
    InvalidActionError,
    InvalidArgumentError,
    NonconformingValueError,
    RlmeshError,
)
from support.comparing import assert_same
from support.sample_envs import SPACES, EchoEnv, ScriptedEnv, echo_vector
from support.serving import remote, remote_vector

WRONG_SEEDS: list[tuple[Any, type[RlmeshError], type[Exception]]] = [
    (-1, InvalidArgumentError, ValueError),
    (np.int64(-5), InvalidArgumentError, ValueError),
    (1.0, ArgumentTypeError, TypeError),
    (np.float64(1), ArgumentTypeError, TypeError),
    ("1", ArgumentTypeError, TypeError),
    (True, ArgumentTypeError, TypeError),
    (np.True_, ArgumentTypeError, TypeError),
    ({}, ArgumentTypeError, TypeError),
]


@pytest.mark.parametrize(
    ("seed", "kind", "builtin"), [*WRONG_SEEDS, ([1], ArgumentTypeError, TypeError)], ids=repr
)
def test_a_wrong_seed_is_refused_and_the_session_goes_on(
    seed: Any, kind: type[RlmeshError], builtin: type[Exception]
) -> None:
    env = ScriptedEnv()
    with remote(env) as client:
        client.reset(seed=0)
        with pytest.raises(kind, match="seed") as caught:
            client.reset(seed=seed)
        assert isinstance(caught.value, builtin)
        assert env.names() == ["reset"], "the environment was not called"
        client.step(client.action_space.sample())
        client.reset(seed=1)


@pytest.mark.parametrize(
    ("seed", "kind", "builtin"),
    [
        *WRONG_SEEDS,
        ([1], InvalidArgumentError, ValueError),
        ([1, 2, 3], InvalidArgumentError, ValueError),
        ([], InvalidArgumentError, ValueError),
        ([1, -1], InvalidArgumentError, ValueError),
        ([1, 1.5], ArgumentTypeError, TypeError),
        ([1, "2"], ArgumentTypeError, TypeError),
        (np.array([0.0, 1.0]), ArgumentTypeError, TypeError),
        (np.array([[0, 1]]), InvalidArgumentError, ValueError),
    ],
    ids=repr,
)
def test_wrong_seeds_of_sub_envs_are_refused_and_the_session_goes_on(
    seed: Any, kind: type[RlmeshError], builtin: type[Exception]
) -> None:
    with remote_vector(echo_vector("discrete", 2)) as client:
        with pytest.raises(kind, match="seed") as caught:
            client.reset(seed=seed)
        assert isinstance(caught.value, builtin)
        client.reset(seed=1)


@pytest.mark.parametrize("seed", [0, 7, 2**31, 2**64 + 1, np.uint8(3)])
def test_any_integer_from_0_is_a_seed(seed: Any) -> None:
    with remote(EchoEnv("discrete")) as client:
        _, info = client.reset(seed=seed)
        assert_same(info["seed"], int(seed))
        assert client.np_random_seed == seed


@pytest.mark.parametrize(
    ("seeds", "expected"),
    [
        (5, [5, 6]),
        ([1, 2], [1, 2]),
        ((1, 2), [1, 2]),
        (np.array([1, 2]), [1, 2]),
        ([None, 2], [None, 2]),
        (None, [None, None]),
    ],
    ids=str,
)
def test_seeds_reach_their_sub_envs(seeds: Any, expected: list[Any]) -> None:
    with remote_vector(echo_vector("discrete", 2)) as client:
        _, infos = client.reset(seed=seeds)
    assert [
        None if mask is False else seed
        for seed, mask in zip(infos["seed"], infos["_seed"], strict=True)
    ] == expected


@pytest.mark.parametrize("options", [[], "fast", 1, (("a", 1),), True])
def test_options_that_are_no_dict_are_refused(options: Any) -> None:
    env = ScriptedEnv()
    with remote(env) as client:
        with pytest.raises(ArgumentTypeError, match="options must be a dict or None") as caught:
            client.reset(options=options)
        assert isinstance(caught.value, TypeError)
        assert env.calls == []
        client.reset(options={})


def test_options_are_the_callers_and_stay_as_they_were() -> None:
    options = {"mask": np.array([True, False]), "speed": 2}
    with remote_vector(echo_vector("discrete", 2)) as client:
        client.reset(seed=0)
        client.reset(options=options)
    assert_same(options, {"mask": np.array([True, False]), "speed": 2})


def box() -> Any:
    return spaces.Box(-1, 1, (2,), np.float32)


def integers() -> Any:
    return spaces.Box(-5, 5, (2,), np.int8)


def tree() -> Any:
    return spaces.Dict({"a": spaces.Discrete(3), "b": spaces.Tuple((box(), spaces.Text(3)))})


WRONG_ACTIONS: dict[str, tuple[Callable[[], Any], Any, str]] = {
    "too large for a Discrete": (lambda: spaces.Discrete(3), 3, "3"),
    "too small for a Discrete": (lambda: spaces.Discrete(3, start=-1), -2, "-2"),
    "a half for a Discrete": (lambda: spaces.Discrete(3), 0.5, "0.5"),
    "a text for a Discrete": (lambda: spaces.Discrete(3), "1", "str"),
    "None for a Discrete": (lambda: spaces.Discrete(3), None, "None"),
    "an array for a Discrete": (lambda: spaces.Discrete(3), np.array([1]), r"\(1,\)"),
    "three for two": (box, np.zeros(3, np.float32), r"\(3,\)"),
    "two rows for two": (box, np.zeros((2, 1), np.float32), r"\(2, 1\)"),
    "a number for two": (box, 0.5, r"\(\)"),
    "NaN": (box, np.array([0, np.nan], np.float32), "(?i)nan"),
    "texts for numbers": (box, ["a", "b"], "."),
    "ragged": (box, [[1], [1, 2]], "."),
    "halves for integers": (integers, np.array([0.5, 1]), "0.5"),
    "what the dtype does not hold": (integers, np.array([300, 0]), "300"),
    "a two in a MultiBinary": (lambda: spaces.MultiBinary(3), [0, 1, 2], "2"),
    "too large for a MultiDiscrete": (lambda: spaces.MultiDiscrete([2, 3]), [1, 3], "3"),
    "bytes for a Text": (lambda: spaces.Text(3), b"abc", "."),
    "a list for a Dict": (tree, [1, 2], r"\$"),
    "a missing key": (tree, {"a": 1}, "b"),
    "another key": (tree, {"a": 1, "b": (np.zeros(2), "x"), "c": 0}, "c"),
    "one of a pair": (tree, {"a": 1, "b": (np.zeros(2),)}, r"\$\.b"),
    "wrong deep inside": (tree, {"a": 1, "b": (np.zeros(3), "x")}, r"\$\.b\[0\]"),
}


class Taking(EchoEnv):
    """Takes actions of any space."""

    def __init__(self, action_space: Any) -> None:
        super().__init__("discrete")
        self.action_space = action_space
        self.taken: list[Any] = []

    def step(self, action: Any) -> Any:
        self.taken.append(action)
        return super().step(action)


@pytest.mark.parametrize("what", WRONG_ACTIONS)
def test_a_wrong_action_is_refused_and_the_session_goes_on(what: str) -> None:
    space, action, message = WRONG_ACTIONS[what]
    env = Taking(space())
    with remote(env) as client:
        client.reset(seed=0)
        with pytest.raises(InvalidActionError, match=message) as caught:
            client.step(action)
        assert isinstance(caught.value, NonconformingValueError)
        assert isinstance(caught.value, ValueError)
        assert "$" in str(caught.value)
        assert env.taken == [], "the environment was not called"
        client.step(client.action_space.sample())
        assert len(env.taken) == 1


@pytest.mark.parametrize(
    "actions",
    [
        np.array([0, 1, 2]),
        np.array([[0], [1]]),
        np.array([0, 4]),
        [0, None],
        0,
    ],
    ids=["three for two sub-environments", "two axes", "out of the domain", "None", "one for all"],
)
def test_wrong_actions_of_sub_envs_are_refused_and_the_session_goes_on(actions: Any) -> None:
    with remote_vector(echo_vector("discrete", 2)) as client:
        client.reset(seed=0)
        with pytest.raises(InvalidActionError):
            client.step(actions)
        client.step(client.action_space.sample())


@pytest.mark.parametrize("kind", SPACES)
def test_every_sample_of_every_space_is_taken(kind: str) -> None:
    env = Taking(SPACES[kind]())
    with remote(env) as client:
        client.reset(seed=0)
        client.action_space.seed(1)
        samples = [client.action_space.sample() for _ in range(10)]
        for sample in samples:
            client.step(sample)
    assert_same(env.taken, samples)


def test_a_step_before_the_first_reset_is_what_the_environment_makes_of_it() -> None:
    import gymnasium

    with remote(gymnasium.make("CartPole-v1")) as client:
        with pytest.raises(rlmesh.errors.RemoteEnvError, match="ResetNeeded"):
            client.step(0)
        client.reset(seed=0)
        client.step(0)
