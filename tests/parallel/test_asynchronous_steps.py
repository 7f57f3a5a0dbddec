"""Steps that are begun and awaited apart, of all sub-environments or of the first that are done."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import AlreadyPendingCallError, ClosedEnvironmentError, NoAsyncCallError

import rlmesh
from support.comparing import assert_same
from support.gates import GatedEnv, Gates
from support.vector_envs import SubEnv, sync_sub_envs


def made(**options: Any) -> Any:
    return rlmesh.make_vec(partial(SubEnv, "dict"), num_envs=4, workers=2, **options)


def test_step_wait_gives_what_step_gives() -> None:
    local = sync_sub_envs("dict", 4)
    local.action_space.seed(1)
    with made() as envs:
        assert_same(envs.reset(seed=1), local.reset(seed=1))
        for _ in range(12):
            actions = local.action_space.sample()
            envs.step_async(actions)
            assert_same(envs.step_wait(timeout=60), local.step(actions))
    local.close()


def test_calls_in_the_wrong_order_raise_gymnasiums_errors() -> None:
    with made() as envs:
        envs.reset(seed=0)
        with pytest.raises(NoAsyncCallError, match="step_async"):
            envs.step_wait()
        with pytest.raises(NoAsyncCallError, match="send"):
            envs.recv()
        actions = envs.action_space.sample()
        envs.step_async(actions)
        calls: list[Callable[[], object]] = [
            lambda: envs.step(actions),
            lambda: envs.step_async(actions),
            lambda: envs.send(actions),
            lambda: envs.get_attr("level"),
        ]
        for call in calls:
            with pytest.raises(AlreadyPendingCallError, match=r"step_wait\(\) or recv\(\)|recv"):
                call()
        envs.step_wait()
        envs.step(actions)
    with pytest.raises(ClosedEnvironmentError):
        envs.step(actions)


def test_a_reset_discards_steps_that_were_not_taken() -> None:
    with made() as envs:
        expected = envs.reset(seed=4)
        envs.step_async(envs.action_space.sample())
        assert_same(envs.reset(seed=4), expected)
        envs.step(envs.action_space.sample())


def test_recv_gives_the_first_that_are_done_and_their_numbers() -> None:
    with (
        Gates(4) as gates,
        rlmesh.make_vec(
            [partial(GatedEnv, gates.path, index) for index in range(4)], workers=4, batch_size=2
        ) as envs,
    ):
        envs.reset()
        envs.send(np.array([10, 11, 12, 13]))
        gates.open(1)
        gates.open(3)
        observations, rewards, terminations, truncations, infos = envs.recv(timeout=60)
        assert infos["env_id"].tolist() == [1, 3]
        assert observations.tolist() == [11, 13]
        assert infos["index"].tolist() == [1, 3]
        assert infos["_index"].tolist() == [True, True]
        assert rewards.shape == terminations.shape == truncations.shape == (2,)
        # The two that are done go on, while the others are still in their first step.
        envs.send(np.array([21, 23]), infos["env_id"])
        gates.open(3)
        gates.open(0)
        assert sorted(envs.recv(timeout=60)[-1]["env_id"].tolist()) == [0, 3]
        gates.open(1)
        gates.open(2)
        observations, *_, infos = envs.recv(timeout=60)
        assert infos["env_id"].tolist() == [1, 2]
        assert observations.tolist() == [21, 12]


def test_a_result_is_there_before_its_worker_has_stepped_the_others() -> None:
    with (
        Gates(2) as gates,
        rlmesh.make_vec(
            [partial(GatedEnv, gates.path, index) for index in range(2)], workers=1, batch_size=1
        ) as envs,
    ):
        envs.reset()
        envs.send(np.array([10, 11]))
        gates.open(0)
        assert envs.recv(timeout=60)[-1]["env_id"].tolist() == [0]
        gates.open(1)
        assert envs.recv(timeout=60)[-1]["env_id"].tolist() == [1]


def test_actions_and_observations_with_texts_cross_in_parts_as_well() -> None:
    local = sync_sub_envs("tuple", 4)
    local.action_space.seed(1)
    with rlmesh.make_vec(partial(SubEnv, "tuple"), num_envs=4, workers=2, batch_size=4) as envs:
        envs.reset(seed=1)
        local.reset(seed=1)
        for _ in range(6):
            actions = local.action_space.sample()
            envs.send(actions)
            *actual, infos = envs.recv(timeout=60)
            *expected, expected_infos = local.step(actions)
            assert infos.pop("env_id").tolist() == [0, 1, 2, 3]
            assert_same(actual, expected)
            assert_same(infos, expected_infos)
    local.close()


def test_send_refuses_numbers_of_no_sub_environment() -> None:
    refused: list[tuple[Any, str]] = [
        ([0, 0], "twice"),
        ([4], "0 to 3"),
        ([-1], "0 to 3"),
        ([], "one sub-environment or more"),
        ([0.5], "numbers of sub-environments"),
        (0, "numbers of sub-environments"),
    ]
    with rlmesh.make_vec("CartPole-v1", num_envs=4, workers=1) as envs:
        envs.reset()
        for env_ids, says in refused:
            with pytest.raises(rlmesh.RlmeshError, match=says):
                envs.send(np.zeros(1, np.int64), env_ids)


def test_a_late_result_is_an_error_that_says_where_the_sub_environment_is() -> None:
    with (
        Gates(2) as gates,
        rlmesh.make_vec(
            [partial(GatedEnv, gates.path, index) for index in range(2)], workers=2
        ) as envs,
    ):
        envs.reset()
        envs.step_async(np.array([1, 2]))
        gates.open(0)
        with pytest.raises(TimeoutError, match=r"sub-environment 1 is at(.|\n)*in wait_for_gate"):
            envs.step_wait(timeout=2)
        # It goes on, and can be awaited again.
        gates.open(1)
        assert envs.step_wait(timeout=60)[0].tolist() == [1, 2]


def test_a_reset_ends_a_worker_that_hangs() -> None:
    with (
        Gates(2) as gates,
        rlmesh.make_vec(
            [partial(GatedEnv, gates.path, index) for index in range(2)], workers=2
        ) as envs,
    ):
        _, infos = envs.reset()
        envs.step_async(np.array([1, 2]))
        gates.open(0)
        with pytest.raises(rlmesh.errors.CallTimeoutError):
            envs.step_wait(timeout=0.2)
        _, infos_again = envs.reset()
        assert infos_again["pid"][0] == infos["pid"][0]
        assert infos_again["pid"][1] != infos["pid"][1]


def test_the_first_batch_goes_on_in_every_autoreset_mode() -> None:
    for mode in gymnasium.vector.AutoresetMode:
        with made(autoreset_mode=mode, batch_size=2) as envs:
            envs.reset(seed=0)
            space = envs.single_action_space
            envs.send(envs.action_space.sample())
            for _ in range(6):
                *_, terminations, truncations, infos = envs.recv(timeout=60)
                done, numbers = terminations | truncations, infos["env_id"]
                if mode is gymnasium.vector.AutoresetMode.DISABLED and done.any():
                    break
                envs.send(gymnasium.vector.utils.batch_space(space, len(numbers)).sample(), numbers)
