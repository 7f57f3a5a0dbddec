"""What a client hands out: types as declared, and the caller's to keep and to write on."""

from __future__ import annotations

import contextlib
import copy
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from support.comparing import assert_same
from support.sample_envs import SPACES, EchoEnv, FrameEnv, InfoEnv, ScriptedEnv, echo_vector
from support.serving import remote, remote_vector

ACTION = np.array([0.5, -0.25], np.float32)

# Gymnasium's own remark about a sub-environment of a Box of shape (), on either side.
pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning:gymnasium"),
    pytest.mark.usefixtures("each_transport"),
]


def arrays(value: Any) -> list[Any]:
    """Every array in a value."""
    if isinstance(value, np.ndarray):
        return [value]
    if isinstance(value, dict):
        return [array for part in value.values() for array in arrays(part)]
    if isinstance(value, (tuple, list)):
        return [array for part in value for array in arrays(part)]
    return []


@pytest.mark.parametrize("kind", SPACES)
def test_observations_and_infos_are_writable_and_keep_what_they_were(kind: str) -> None:
    with remote(EchoEnv(kind)) as client:
        held = [client.reset(seed=0)]
        for _ in range(5):
            observation, _, _, _, info = client.step(client.action_space.sample())
            held.append((observation, info))
        snapshot = copy.deepcopy(held)
        client.step(client.action_space.sample())
        assert_same(held, snapshot)
        for array in arrays(held):
            assert array.flags.writeable
            array[...] = 0


@pytest.mark.parametrize("kind", SPACES)
def test_observations_of_sub_envs_are_writable_and_keep_what_they_were(kind: str) -> None:
    with remote_vector(echo_vector(kind, 3)) as client:
        held = [client.reset(seed=0)]
        for _ in range(3):
            observations, rewards, terminations, truncations, infos = client.step(
                client.action_space.sample()
            )
            held.append((observations, {"all": (rewards, terminations, truncations, infos)}))
        snapshot = copy.deepcopy(held)
        client.step(client.action_space.sample())
        assert_same(held, snapshot)
        for array in arrays(held):
            assert array.flags.writeable


def test_writing_into_an_observation_does_not_change_the_next() -> None:
    env = ScriptedEnv()
    with remote(env) as client:
        observation, _ = client.reset(seed=0)
        observation[:] = 99
        following, *_ = client.step(ACTION)
        assert_same(following, ACTION)
        assert_same(env.position, ACTION)


@pytest.mark.parametrize("kind", SPACES)
def test_what_the_space_declares_is_what_the_client_gets(kind: str) -> None:
    env = EchoEnv(kind)
    with remote(env) as client:
        observation, _ = client.reset(seed=0)
        assert observation in client.observation_space
        assert_same(observation, copy.deepcopy(observation))
        assert client.observation_space == env.observation_space
        sample = env.observation_space.sample()
        assert type(observation) is type(sample)
        assert [a.dtype for a in arrays(observation)] == [a.dtype for a in arrays(sample)]


def test_loose_observations_arrive_as_declared() -> None:
    class Loose(ScriptedEnv):
        def __init__(self) -> None:
            super().__init__()
            self.observation_space = spaces.Dict(
                {
                    "place": spaces.Discrete(9),
                    "view": spaces.Box(-10, 10, (2, 2), np.float32),
                    "pair": spaces.Tuple((spaces.MultiBinary(2), spaces.Discrete(2))),
                }
            )

    env = Loose()
    big_endian = np.array([[1, 2], [3, 4]], ">f8")
    loose = {"pair": [[True, False], np.True_], "place": 5, "view": big_endian.T}
    env.script["reset"] = lambda: (loose, {})
    with remote(env) as client:
        observation, _ = client.reset()
    assert_same(
        observation,
        {
            "pair": (np.array([1, 0], np.int8), np.int64(1)),
            "place": np.int64(5),
            "view": np.array([[1, 3], [2, 4]], np.float32),
        },
    )


INFOS: list[dict[str, Any]] = [
    {},
    {"none": None, "true": True, "int": 3, "big": 2**70, "negative": -(2**70), "float": 0.1},
    {"nan": float("nan"), "inf": float("-inf"), "zero": -0.0, "text": "ä𝄞\n\0", "bytes": b"\xff\0"},
    {"list": [1, [2, [3]]], "tuple": (1, (2,), ()), "dict": {"a": {"b": {}}}, "": 0},
    {
        "int8": np.int8(-3),
        "float16": np.float16(1.5),
        "bool": np.True_,
        "str": np.str_("x"),
        "complex": np.complex64(1 + 2j),
        "when": np.datetime64("2020-01-02", "ns"),
    },
    {
        "image": np.arange(60, dtype=np.uint8).reshape(4, 5, 3),
        "scalar": np.array(1.5),
        "empty": np.zeros((0, 3), np.int16),
        "flags": np.array([True, False]),
        "fortran": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
        "texts": np.array(["a", "bcd"]),
        "objects": np.array([None, {"a": 1}, np.zeros(2)], dtype=object),
    },
]


def test_infos_arrive_as_the_environment_made_them() -> None:
    with remote(InfoEnv(INFOS)) as client:
        received = [client.reset()[1]]
        received += [client.step(0)[4] for _ in INFOS[1:]]
    assert_same(received, INFOS)


FRAMES: dict[str, Any] = {
    "rgb": np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3),
    "depth": np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4),
    "depth64": np.full((2, 2), np.inf),
    "rgba": np.zeros((2, 2, 4), np.uint8),
    "mask": np.array([[True, False]]),
    "empty": np.zeros((0, 0, 3), np.uint8),
    "list": [np.full((2, 2, 3), n, np.uint8) for n in range(3)],
    "empty list": [],
    "tuple": (np.zeros((2, 2, 3), np.uint8), np.ones((2, 2), np.float32)),
    "texts": ["one", "two"],
    "text": "┌─┐\n│x│\n└─┘\n",
    "none": None,
    "dict": {"rgb": np.zeros((2, 2, 3), np.uint8), "depth": np.zeros((2, 2), np.float32)},
}


@pytest.mark.parametrize("kind", FRAMES)
def test_render_returns_what_the_environment_renders(kind: str) -> None:
    with remote(FrameEnv(FRAMES[kind])) as client:
        client.reset()
        frame = client.render()
    assert_same(frame, FRAMES[kind])
    for array in arrays(frame):
        assert array.flags.writeable


def test_a_large_frame_arrives() -> None:
    frame = np.arange(1080 * 1920 * 3, dtype=np.uint8).reshape(1080, 1920, 3)
    with remote(FrameEnv(frame)) as client:
        assert_same(client.render(), frame)


def test_sub_envs_render_a_tuple_of_frames() -> None:
    envs = gymnasium.make_vec("CartPole-v1", 2, vectorization_mode="sync", render_mode="rgb_array")
    twin = gymnasium.make_vec("CartPole-v1", 2, vectorization_mode="sync", render_mode="rgb_array")
    with remote_vector(envs) as client, contextlib.closing(twin):
        client.reset(seed=0)
        twin.reset(seed=0)
        assert_same(client.render(), twin.render())


def test_frames_of_a_registered_environment_are_the_same() -> None:
    with contextlib.closing(gymnasium.make("FrozenLake-v1", render_mode="ansi")) as twin:
        with remote(gymnasium.make("FrozenLake-v1", render_mode="ansi")) as client:
            client.reset(seed=0)
            twin.reset(seed=0)
            assert_same(client.render(), twin.render())


@pytest.mark.parametrize(
    ("space", "value"),
    [
        (spaces.Tuple(()), ()),
        (spaces.Dict({}), {}),
        (spaces.Tuple([spaces.Dict({}), spaces.Box(-1, 1, (0,), np.float32)]), None),
    ],
    ids=["tuple", "dict", "nested"],
)
def test_spaces_that_hold_nothing_are_carried(space: Any, value: Any) -> None:
    class Hollow(ScriptedEnv):
        def __init__(self) -> None:
            super().__init__()
            self.observation_space = space
            self.action_space = space

        def step(self, action: Any) -> Any:
            return action, 0.0, False, False, {"action": action}

    expected = ({}, np.zeros(0, np.float32)) if value is None else value
    env = Hollow()
    env.script["reset"] = lambda: (expected, {})
    with remote(env) as client:
        assert_same(client.reset()[0], expected)
        observation, _, _, _, info = client.step(expected)
        assert_same((observation, info["action"]), (expected, expected))
