"""`step_many`: what a loop of `step` does, in one exchange."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import rlmesh
from rlmesh.errors import (
    CallTimeoutError,
    InvalidActionError,
    InvalidArgumentError,
    InvalidObservationError,
    RemoteEnvError,
    StateError,
)
from support.comparing import assert_same
from support.sample_envs import EchoEnv, Gate, ScriptedEnv
from support.serving import remote, remote_vector

pytestmark = pytest.mark.usefixtures("each_transport")

ACTION = np.array([0.5, -0.25], np.float32)


def looped(env: Any, actions: Any) -> list[tuple[Any, ...]]:
    """What a loop of `step` gives that ends with the episode."""
    steps: list[tuple[Any, ...]] = []
    for action in actions:
        steps.append(env.step(action))
        if steps[-1][2] or steps[-1][3]:
            break
    return steps


def assert_stacked(made: rlmesh.Transitions, steps: list[tuple[Any, ...]]) -> None:
    """That they are the same steps."""
    observations, rewards, terminations, truncations, infos = zip(*steps, strict=True)
    assert_same(made.observations, np.stack(observations))
    assert_same(made.rewards, np.array(rewards, np.float64))
    assert_same(made.terminations, np.array(terminations, np.bool_))
    assert_same(made.truncations, np.array(truncations, np.bool_))
    assert_same(made.infos, list(infos))


@pytest.mark.parametrize("count", [1, 5, 200])
def test_it_gives_what_a_loop_gives_that_ends_with_the_episode(count: int) -> None:
    local = gym.make("CartPole-v1")
    local.action_space.seed(3)
    actions = [local.action_space.sample() for _ in range(count)]
    local.reset(seed=3)
    steps = looped(local, actions)
    with remote(gym.make("CartPole-v1")) as env:
        env.reset(seed=3)
        made = env.step_many(actions)
        assert len(made.rewards) == len(steps)
        assert_stacked(made, steps)
        # The client is where the loop would have left it.
        env.reset(seed=3)
        assert_stacked(env.step_many(np.array(actions)), steps)


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_on_a_vector_it_goes_on_where_sub_envs_reset_themselves(mode: AutoresetMode) -> None:
    def make() -> SyncVectorEnv[Any, Any]:
        return SyncVectorEnv([lambda: gym.make("CartPole-v1")] * 3, autoreset_mode=mode)

    local = make()
    local.action_space.seed(1)
    actions = [local.action_space.sample() for _ in range(60)]
    local.reset(seed=1)
    steps: list[tuple[Any, ...]] = []
    for action in actions:
        steps.append(local.step(action))
        if mode is AutoresetMode.DISABLED and (steps[-1][2] | steps[-1][3]).any():
            break
    assert (len(steps) == len(actions)) is (mode is not AutoresetMode.DISABLED)
    with remote_vector(make()) as envs:
        envs.reset(seed=1)
        assert_stacked(envs.step_many(actions), steps)


@pytest.mark.parametrize("kind", ["dict", "tuple", "text"])
def test_containers_and_texts_are_stacked_part_by_part(kind: str) -> None:
    env = EchoEnv(kind)
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(4)]
    with remote(EchoEnv(kind)) as client:
        client.reset(seed=0)
        single = [client.step(action)[0] for action in actions]
        client.reset(seed=0)
        made = client.step_many(actions).observations
    for place, observation in enumerate(single):
        assert_same(at(made, place), observation)


def at(stacked: Any, place: int) -> Any:
    """One observation of a stack."""
    if isinstance(stacked, dict):
        return {key: at(part, place) for key, part in stacked.items()}
    if isinstance(stacked, tuple) and not isinstance(stacked[0], str):
        return tuple(at(part, place) for part in stacked)
    return stacked[place]


def raising_at(env: ScriptedEnv, place: int, act: Callable[[], Any]) -> Callable[[], Any]:
    """Acts in one of the steps."""

    def step() -> Any:
        return act() if env.names().count("step") == place else None

    return step


def broken() -> Any:
    raise ValueError("in the middle")


def test_a_failure_in_the_middle_tells_what_was_done_before_it() -> None:
    env = ScriptedEnv()
    with remote(env) as client:
        client.reset(seed=0)
        env.script["step"] = raising_at(env, 3, broken)
        with pytest.raises(RemoteEnvError, match="in the middle") as caught:
            client.step_many([ACTION] * 5)
        assert_same(caught.value.transitions.observations, np.stack([ACTION, 2 * ACTION]))
        assert env.names().count("step") == 3
        # As after a step that failed, the session goes on.
        client.reset()
        assert len(client.step_many([ACTION] * 2).rewards) == 2


def test_a_failure_in_the_first_step_has_no_transitions() -> None:
    env = ScriptedEnv()
    with remote(env) as client:
        client.reset(seed=0)
        env.script["step"] = broken
        with pytest.raises(RemoteEnvError) as caught:
            client.step_many([ACTION] * 5)
        assert caught.value.transitions is None


def test_a_wrong_observation_in_the_middle_is_told_as_by_step() -> None:
    env = ScriptedEnv()
    with remote(env) as client:
        client.reset(seed=0)
        wrong: Any = np.array([np.nan, 0], np.float32), 0.0, False, False, {}
        env.script["step"] = raising_at(env, 2, lambda: wrong)
        with pytest.raises(InvalidObservationError, match="nan") as caught:
            client.step_many([ACTION] * 3)
        assert len(caught.value.transitions.rewards) == 1


@pytest.mark.parametrize(
    "refused", [np.zeros(3, np.float32), np.array([np.nan, 0], np.float32), "east"]
)
def test_a_refused_action_in_the_middle_ends_it_as_it_ends_the_loop(refused: Any) -> None:
    env = ScriptedEnv()
    with remote(env) as client:
        client.reset(seed=0)
        with pytest.raises(InvalidActionError) as caught:
            client.step_many([ACTION, ACTION, refused, ACTION])
        assert len(caught.value.transitions.rewards) == 2
        assert env.names().count("step") == 2
        assert len(client.step_many([ACTION]).rewards) == 1


def test_a_refused_action_beyond_the_end_of_the_episode_is_not_used() -> None:
    env = ScriptedEnv()
    with remote(env) as client:
        client.reset(seed=0)
        over: Any = np.zeros(2, np.float32), 1.0, True, False, {}
        env.script["step"] = raising_at(env, 2, lambda: over)
        made = client.step_many([ACTION, ACTION, "east"])
        assert made.terminations.tolist() == [False, True]


def test_a_deviation_of_one_step_of_many_is_noticed_and_in_no_info() -> None:
    env = ScriptedEnv()
    with remote(env) as client:
        client.reset(seed=0)
        large = np.array([5, 0], np.float32)
        infos = client.step_many([ACTION, large, ACTION]).infos
        assert [notice["kind"] for notice in client.notices] == ["bounds"]
    assert list(infos) == [{}, {}, {}]


def test_without_actions_it_is_refused() -> None:
    with remote(ScriptedEnv()) as client:
        client.reset(seed=0)
        with pytest.raises(InvalidArgumentError, match="one action or more"):
            client.step_many([])


def test_after_a_deadline_it_needs_a_reset() -> None:
    env, gate = ScriptedEnv(), Gate()
    with remote(env, request_timeout_seconds=0.2) as client:
        client.reset(seed=0)
        env.script["step"] = gate.wait
        try:
            with pytest.raises(CallTimeoutError):
                client.step_many([ACTION] * 3)
        finally:
            env.script.clear()
            gate.open()
        with pytest.raises(StateError, match=r"call reset\(\) first"):
            client.step_many([ACTION])
    with remote(ScriptedEnv()) as client:
        client.close()
        with pytest.raises(StateError, match="closed"):
            client.step_many([ACTION])


def test_what_it_gives_is_the_callers_own() -> None:
    with remote(ScriptedEnv(), copy=False) as client:
        client.reset(seed=0)
        made = client.step_many([ACTION] * 3)
        before = made.observations.copy()
        made.observations[0] = 0
        client.step_many([ACTION] * 3)
        assert_same(made.observations[1:], before[1:])


def test_many_large_observations_cross() -> None:
    space = gym.spaces.Box(0, 255, (200, 300, 3), np.uint8)

    class Camera(gym.Env[Any, Any]):
        observation_space = space
        action_space = gym.spaces.Discrete(256)

        def reset(self, **_: Any) -> tuple[Any, dict[str, Any]]:
            return np.zeros(space.shape, np.uint8), {}

        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            return np.full(space.shape, action, np.uint8), float(action), False, False, {}

    with remote(Camera()) as env:
        env.reset()
        for _ in range(2):
            made = env.step_many(range(30))
            assert made.observations.shape == (30, *space.shape)
            assert made.observations[:, -1, -1, -1].tolist() == list(range(30))
            assert made.rewards.tolist() == list(range(30))
