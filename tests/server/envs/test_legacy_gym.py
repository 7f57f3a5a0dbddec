"""Environments of Gym before 0.26: four results, a bare reset, a method to seed."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

import rlmesh
from rlmesh.errors import InvalidArgumentError
from support.serving import remote, remote_vector, serving

pytestmark = pytest.mark.usefixtures("each_transport")


class OldGym:
    """Counts to ten; its time limit, if it has one, tells of itself as Gym's TimeLimit did."""

    observation_space: Any = spaces.Discrete(100)
    action_space = spaces.Discrete(2)
    metadata = {"render.modes": ["human", "rgb_array"]}  # noqa: RUF012 - as Gym had it

    def __init__(self, limit: int | None = None, *, seeded_by: str = "method") -> None:
        self._limit = limit
        self._count = self._first = 0
        self.seeds: list[Any] = []
        if seeded_by == "nothing":
            self.seed = None  # type: ignore[assignment] # nothing to call

    def seed(self, seed: int | None = None) -> list[int | None]:
        self.seeds.append(seed)
        self._first = seed or 0
        return [seed]

    def reset(self) -> Any:
        self._count = self._first
        return self._count

    def step(self, action: int) -> tuple[Any, float, bool, dict[str, Any]]:
        self._count += 1
        done = self._count == self._first + 10
        info: dict[str, Any] = {"count": self._count}
        if self._limit is not None and self._count == self._first + self._limit:
            info["TimeLimit.truncated"] = not done
            done = True
        return self._count, 1.0, done, info

    def close(self) -> None: ...


def ends(limit: int | None) -> tuple[int, bool, bool, dict[str, Any]]:
    """How and when an episode ends."""
    with remote(OldGym(limit)) as client:
        assert client.reset() == (0, {})
        for steps in range(1, 50):
            _, reward, terminated, truncated, info = client.step(0)
            assert reward == 1.0
            if terminated or truncated:
                return steps, terminated, truncated, info
    raise AssertionError("the episode never ends")


def test_four_results_and_a_bare_reset_are_served() -> None:
    assert ends(None) == (10, True, False, {"count": 10})


def test_a_time_limit_that_ends_an_episode_is_a_truncation() -> None:
    assert ends(4) == (4, False, True, {"count": 4, "TimeLimit.truncated": True})


def test_a_time_limit_at_the_very_end_of_an_episode_is_a_termination() -> None:
    assert ends(10) == (10, True, False, {"count": 10, "TimeLimit.truncated": False})


def test_what_the_time_limit_says_of_a_step_that_ends_nothing_is_no_truncation() -> None:
    class Hasty(OldGym):
        def step(self, action: int) -> Any:
            return 0, 0.0, False, {"TimeLimit.truncated": True}

    with remote(Hasty()) as client:
        client.reset()
        assert client.step(0)[2:4] == (False, False)


def test_flags_are_bools_of_python() -> None:
    class Numbers(OldGym):
        def step(self, action: int) -> Any:
            return 0, 0, np.int64(1), {"TimeLimit.truncated": np.True_}

    with remote(Numbers()) as client:
        client.reset()
        _, _, terminated, truncated, _ = client.step(0)
        assert (terminated, truncated) == (False, True)
        assert type(terminated) is type(truncated) is bool


def test_a_seed_goes_through_the_method_and_no_seed_leaves_it_alone() -> None:
    env = OldGym()
    with remote(env) as client:
        client.reset()
        assert client.reset(seed=7) == (7, {})
        client.reset()
    assert env.seeds == [7]


def test_a_seed_that_it_cannot_be_given_is_refused_and_the_session_goes_on() -> None:
    with remote(OldGym(seeded_by="nothing")) as client:
        with pytest.raises(InvalidArgumentError, match="takes no seed; reset without one"):
            client.reset(seed=7)
        client.reset()
        client.step(0)


def test_options_that_it_cannot_be_given_are_refused_and_the_session_goes_on() -> None:
    with remote(OldGym()) as client:
        with pytest.raises(InvalidArgumentError, match="takes no options; reset without them"):
            client.reset(options={"level": 3})
        client.reset()
        client.step(0)


def test_a_reset_that_takes_a_seed_and_no_options_gets_the_seed() -> None:
    class Halfway(OldGym):
        def reset(self, seed: int | None = None) -> Any:
            return (seed or 0), {"seed": seed}

    env = Halfway()
    with remote(env) as client:
        assert client.reset(seed=5) == (5, {"seed": 5})
    assert env.seeds == []


def test_a_reset_that_takes_anything_gets_seed_and_options() -> None:
    class Anything(OldGym):
        def reset(self, **given: Any) -> Any:
            return 0, given

    with remote(Anything()) as client:
        assert client.reset(seed=5, options={"a": 1})[1] == {"seed": 5, "options": {"a": 1}}


@pytest.mark.parametrize(
    "bare",
    [(1, {"a": np.zeros(2, np.float32)}), (1, {"a": [0.0, 0.0]})],
)
def test_a_bare_observation_that_is_a_pair_with_a_dict_is_no_pair_of_observation_and_info(
    bare: Any,
) -> None:
    class Pairs(OldGym):
        observation_space = spaces.Tuple(
            (spaces.Discrete(3), spaces.Dict(a=spaces.Box(-1, 1, (2,), np.float32)))
        )

        def reset(self) -> Any:
            return bare

        def step(self, action: int) -> Any:
            return bare, 0.0, False, {}

    with remote(Pairs()) as client:
        observation, info = client.reset()
        assert observation[0] == 1
        assert info == {}
        client.step(0)


def test_a_bare_observation_that_is_a_tuple_is_served_and_so_is_a_pair() -> None:
    class Tuples(OldGym):
        observation_space = spaces.Tuple([spaces.Discrete(3)] * 2)
        modern = False

        def reset(self) -> Any:
            return ((1, 2), {"modern": True}) if self.modern else (1, 2)

    env = Tuples()
    with remote(env) as client:
        assert client.reset() == ((1, 2), {})
        env.modern = True
        assert client.reset() == ((1, 2), {"modern": True})


def test_an_info_that_is_none_is_an_empty_one() -> None:
    class NoInfo(OldGym):
        def step(self, action: int) -> Any:
            return 0, 0.0, False, None

    with remote(NoInfo()) as client:
        client.reset()
        assert client.step(0) == (0, 0.0, False, False, {})


class OldVector:
    """Three sub-environments of four results."""

    num_envs = 3
    single_observation_space = spaces.Discrete(100)
    single_action_space = spaces.Discrete(2)

    def __init__(self, info: dict[str, Any]) -> None:
        self._info = info

    def reset(self) -> Any:
        return np.zeros(3, np.int64)

    def step(self, actions: Any) -> Any:
        return np.ones(3, np.int64), np.ones(3), np.array([False, True, True]), self._info

    def close(self) -> None: ...


@pytest.mark.parametrize(
    ("info", "terminations", "truncations"),
    [
        ({}, [False, True, True], [False, False, False]),
        (
            {"TimeLimit.truncated": np.array([False, False, True])},
            [False, True, False],
            [False, False, True],
        ),
    ],
)
def test_the_sub_envs_of_an_old_vector_environment_are_mapped_one_by_one(
    info: dict[str, Any], terminations: list[bool], truncations: list[bool]
) -> None:
    with remote_vector(OldVector(info)) as client:
        observations, infos = client.reset()
        assert (observations.tolist(), infos) == ([0, 0, 0], {})
        _, _, terminated, truncated, _ = client.step([0, 0, 0])
        assert terminated.tolist() == terminations
        assert truncated.tolist() == truncations


def test_an_old_environment_may_be_a_sub_env_of_a_list() -> None:
    with (
        serving([OldGym(4), OldGym(4)]) as server,
        contextlib.closing(rlmesh.RemoteVectorEnv[Any, Any](server.address)) as client,
    ):
        client.reset(seed=[3, 4])
        for _ in range(3):
            client.step([0, 0])
        observations, _, terminated, truncated, _ = client.step([0, 0])
        assert observations.tolist() == [7, 8]
        assert (terminated.tolist(), truncated.tolist()) == ([False, False], [True, True])


class Drawn(OldGym):
    """Draws in the mode that a caller of `render` names, as before Gym 0.26."""

    def render(self, mode: str = "human") -> Any:
        assert mode != "human", "nobody looks at the server's screen"
        return np.full((2, 3, 3), self._count, np.uint8) if mode == "rgb_array" else str(mode)


class Written(Drawn):
    metadata = {"render.modes": ["human", "ansi"]}  # noqa: RUF012 - as Gym had it


def test_the_frames_of_an_old_environment_arrive_and_its_mode_stands_in_the_contract() -> None:
    with remote(Drawn()) as client:
        assert client.render_mode == "rgb_array"
        client.reset()
        client.step(0)
        frame = client.render()
        assert isinstance(frame, np.ndarray)
        assert (frame.shape, frame.max()) == ((2, 3, 3), 1)
    with remote(Written()) as client:
        assert client.render_mode == "ansi"
        client.reset()
        assert client.render() == "ansi"


def test_the_frames_of_a_list_of_old_environments_arrive() -> None:
    with remote_vector([Drawn(), Drawn()]) as client:
        client.reset()
        assert [frame.shape for frame in client.render()] == [(2, 3, 3), (2, 3, 3)]


def test_a_current_environment_with_a_mode_is_rendered_without_one() -> None:
    class Current(OldGym):
        render_mode = "ansi"

        def render(self, mode: str = "human") -> Any:
            return mode

    with remote(Current()) as client:
        client.reset()
        assert client.render() == "human"
