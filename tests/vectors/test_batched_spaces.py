"""The spaces of vector environments are batched as Gymnasium batches them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import SyncVectorEnv

import rlmesh
from rlmesh.errors import InvalidActionError, InvalidEnvError, InvalidObservationError
from support.comparing import assert_same
from support.serving import remote_vector, serving
from support.vector_envs import KINDS, Envs, record, sync_sub_envs, told

pytestmark = pytest.mark.usefixtures("each_transport")

STEPS = 20
NAMES = ("observation_space", "action_space", "single_observation_space", "single_action_space")
WARNING = "rlmesh.conformance.warning"


def assert_as_local(envs: Envs, local: Envs, steps: int = STEPS) -> None:
    assert envs.num_envs == local.num_envs
    for name in NAMES:
        assert getattr(envs, name) == getattr(local, name)
    for (call, actual), (_, wanted) in zip(told(envs, steps), record(local, steps), strict=True):
        assert_same(actual, wanted, call)


@pytest.mark.parametrize(
    ("each_transport", "num_envs"),
    [("shm", 1), ("shm", 2), ("shm", 64), ("direct", 2), ("grpc", 2)],
    indirect=["each_transport"],
)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_space_with_one_two_and_many_sub_envs(kind: str, num_envs: int) -> None:
    with remote_vector(sync_sub_envs(kind, num_envs)) as client:
        assert_as_local(client, sync_sub_envs(kind, num_envs), STEPS if num_envs < 64 else 5)


def test_the_four_spaces_are_objects_of_their_own() -> None:
    with serving(sync_sub_envs()) as server:
        seen: list[Any] = []
        for _ in range(2):
            with contextlib.closing(rlmesh.RemoteVectorEnv[Any, Any](server.address)) as client:
                seen += [getattr(client, name) for name in NAMES]
        assert len({id(space) for space in seen}) == len(seen)
        assert seen[:4] == seen[4:]
        generators = [space.np_random for space in seen]
        assert len({id(generator) for generator in generators}) == len(generators)


class Point(gymnasium.Env[Any, Any]):
    """Observes what it is told to, in a space of its own.

    Args:
        space: The observation space.
        values: The observations, one after the other, the last one for ever.
    """

    def __init__(self, space: gymnasium.Space[Any], values: list[Any]) -> None:
        self.observation_space = space
        self.action_space = spaces.Discrete(2)
        self._values = values

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._left = list(self._values)
        return self._next(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self._next(), 0.0, False, False, {}

    def _next(self) -> Any:
        return self._left.pop(0) if len(self._left) > 1 else self._left[0]


def box(high: float) -> spaces.Box:
    return spaces.Box(-high, high, (2,), np.float32)


DIFFERENT: dict[str, list[gymnasium.Space[Any]]] = {
    "box": [box(1), box(2), box(np.inf)],
    "discrete": [spaces.Discrete(2), spaces.Discrete(5, start=-1), spaces.Discrete(3)],
    "multi_discrete": [
        spaces.MultiDiscrete([2, 3]),
        spaces.MultiDiscrete([5, 2], start=[-1, 7]),
        spaces.MultiDiscrete([1, 1]),
    ],
    "multi_binary": [spaces.MultiBinary(3)] * 3,
    "nested": [
        spaces.Dict(
            [
                ("z", spaces.Tuple([box(high), spaces.Discrete(int(high))])),
                ("a", spaces.Text(4, charset="xyz")),
            ]
        )
        for high in (1, 2, 3)
    ],
}


def different(kind: str) -> Envs:
    """Sub-environments whose spaces differ, which observe samples of them."""
    num_envs: list[Callable[[], Any]] = []
    for index, space in enumerate(DIFFERENT[kind]):
        space.seed(index)
        num_envs.append(partial(Point, space, [space.sample() for _ in range(8)]))
    return SyncVectorEnv(num_envs, observation_mode="different")


@pytest.mark.parametrize("kind", DIFFERENT)
def test_sub_envs_that_differ_in_their_bounds_are_batched_as_locally(kind: str) -> None:
    with remote_vector(different(kind), autoreset=None) as client:
        local = different(kind)
        assert client.observation_space == local.observation_space
        assert_as_local(client, local)


@pytest.mark.parametrize("kind", DIFFERENT)
def test_what_sub_envs_that_differ_may_hold_is_checked_sub_env_by_sub_env(kind: str) -> None:
    """No sub-environment is held to the bounds of another."""
    with serving(different(kind), validation="strict") as server:
        with contextlib.closing(rlmesh.RemoteVectorEnv[Any, Any](server.address)) as client:
            client.reset(seed=0)
            for _ in range(10):
                *_, infos = client.step(np.zeros(3, int))
                assert WARNING not in infos


def two(first: Any, second: Any, values: Any) -> Envs:
    num_envs = [partial(Point, space, [values[0], *values]) for space in (first, second)]
    return SyncVectorEnv(num_envs, observation_mode="different")


def test_a_value_outside_of_its_own_sub_envs_bounds_is_told_with_the_sub_env() -> None:
    inside, outside = np.array([0.5, 0.5], np.float32), np.array([0.5, 1.5], np.float32)
    with remote_vector(two(box(1), box(2), [inside, outside])) as client:
        _, infos = client.reset()
        assert infos == {}
        client.step([0, 0])
        *_, infos = client.step([0, 0])
        (warning,) = infos[WARNING][0]
        assert infos[WARNING][1] is None
        assert infos[f"_{WARNING}"].tolist() == [True, False]
        assert (warning["kind"], warning["path"], warning["env_index"]) == ("bounds", "$", 0)


def test_an_element_outside_of_its_own_sub_envs_domain_is_rejected_with_the_sub_env() -> None:
    with remote_vector(two(spaces.Discrete(9), spaces.Discrete(3), [1, 5])) as client:
        client.reset()
        client.step([0, 0])
        with pytest.raises(InvalidObservationError, match="sub-environment 1"):
            client.step([0, 0])
        client.reset()


class Words:
    """Two sub-environments of texts of other charsets and lengths; Gymnasium has no such class."""

    num_envs = 2
    single_observation_space = spaces.Text(3, charset="abc")
    observation_space = spaces.Tuple([single_observation_space, spaces.Text(4, charset="abx")])
    single_action_space = spaces.Discrete(2)

    def reset(self, seed: Any = None, options: Any = None) -> Any:
        return ("abc", "xxxx"), {}

    def step(self, actions: Any) -> Any:
        return ("abx", "abx"), np.zeros(2), np.zeros(2, bool), np.zeros(2, bool), {}

    def close(self) -> None:
        pass


def test_a_text_outside_of_its_own_sub_envs_charset_is_told_with_the_sub_env() -> None:
    with remote_vector(Words()) as client:
        assert client.observation_space == Words.observation_space
        assert client.single_observation_space == Words.single_observation_space
        assert client.reset() == (("abc", "xxxx"), {})
        observations, *_, infos = client.step([0, 0])
        assert observations == ("abx", "abx")
        (warning,) = infos[WARNING][0]
        assert infos[WARNING][1] is None
        assert infos[f"_{WARNING}"].tolist() == [True, False]
        assert (warning["kind"], warning["path"], warning["env_index"]) == ("charset", "$", 0)


def test_a_batched_space_that_a_user_chose_is_kept() -> None:
    single = box(1)
    batched = spaces.Box(-3, 3, (2, 2), np.float32)
    envs = SyncVectorEnv(
        [lambda: Point(single, [np.array([2, 2], np.float32)])] * 2,
        observation_mode=(batched, single),
    )
    with remote_vector(envs) as client:
        assert client.observation_space == batched
        assert client.single_observation_space == single
        _, infos = client.reset()
        assert infos == {}, "the sub-environments' bounds are those of the batched space"


def test_a_batched_space_that_holds_no_sub_envs_of_the_single_one_is_refused() -> None:
    envs: Any = sync_sub_envs("box")
    envs.observation_space = box(1)
    with pytest.raises(
        InvalidEnvError, match=r"must hold 3 sub-environments of env\.single_observation"
    ):
        rlmesh.EnvServer(envs)


class Unsorted(Words):
    """Two sub-environments of a dict whose keys are not sorted, as Gymnasium's batched ones are."""

    single_observation_space: Any = spaces.Dict(
        [("z", spaces.Discrete(3)), ("a", spaces.Box(-1, 1, (1,), np.float64))]
    )

    def __init__(self, *, low: float) -> None:
        batched = spaces.Box(np.array([[-1], [low]]), np.ones((2, 1)), (2, 1), np.float64)
        self.observation_space: Any = spaces.Dict(
            [("z", spaces.MultiDiscrete([3, 3])), ("a", batched)]
        )

    def reset(self, seed: Any = None, options: Any = None) -> Any:
        return {"z": [1, 2], "a": np.full((2, 1), -3.0)}, {}


@pytest.mark.parametrize("low", [-1, -4])
def test_the_keys_of_a_batched_dict_stand_in_any_order(low: float) -> None:
    env = Unsorted(low=low)
    with remote_vector(env) as client:
        assert isinstance(client.observation_space, spaces.Dict)
        assert client.observation_space == env.observation_space
        assert list(client.observation_space.keys()) == ["z", "a"]
        observations, infos = client.reset()
        assert_same(observations, {"z": np.array([1, 2]), "a": np.full((2, 1), -3.0)})
        lists = [each or () for each in infos[WARNING]]
        warned = [(one["path"], one["env_index"]) for each in lists for one in each]
        assert warned == [("$.a", 0), ("$.a", 1)][: 2 if low == -1 else 1]


@pytest.mark.parametrize(
    "actions",
    [[0, 1], [0, 1, 2, 0], [0, 1, 9], [0.5, 0, 1], 0, None, "abc"],
    ids=["too few", "too many", "outside", "a fraction", "a number", "nothing", "a text"],
)
def test_wrong_actions_reach_no_sub_env(actions: Any) -> None:
    with contextlib.closing(sync_sub_envs("discrete")) as local:
        with remote_vector(sync_sub_envs("discrete")) as client:
            assert_same(client.reset(seed=1), local.reset(seed=1))
            with pytest.raises(InvalidActionError):
                client.step(actions)
            assert_same(client.step([0, 1, 2]), local.step(np.array([0, 1, 2])))


def test_actions_are_taken_in_whatever_shape_numpy_reads_them_exactly() -> None:
    with contextlib.closing(sync_sub_envs("discrete")) as local:
        with remote_vector(sync_sub_envs("discrete")) as client:
            assert_same(client.reset(seed=1), local.reset(seed=1))
            expected = np.array([0, -1, 2])
            for actions in (
                [0, -1, 2],
                (0.0, -1.0, 2.0),
                expected.astype(">i2"),
                [np.int8(0), -1, 2],
            ):
                assert_same(client.step(actions), local.step(expected))
