"""A parallel vector environment gives what `SyncVectorEnv` of the same environments gives."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import rlmesh
from support.comparing import assert_same
from support.parallel_envs import ALL, SpaceEnv, Verbose
from support.vector_envs import KINDS, ShapedSubEnv, SubEnv, record, sync_sub_envs, told

MODES = list(AutoresetMode)
# Of every kind, one with each way of its own into the segment.
ALONE = (
    *("box_default", "box_scalar", "box_bool", "box_empty", "discrete", "discrete_int16"),
    *("dict_empty", "dict_nested", "tuple_nested"),
)
# Whose empty containers SyncVectorEnv cannot step.
NOT_IN_SYNC = {"dict_empty", "dict_nested", "tuple_nested"}


def parallel_sub_envs(kind: str, mode: AutoresetMode, **options: Any) -> Any:
    return rlmesh.make_vec(
        partial(SubEnv, kind), num_envs=3, workers=2, autoreset_mode=mode, **options
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_training_loop_sees_what_sync_vector_env_shows(kind: str) -> None:
    with parallel_sub_envs(kind, MODES[0]) as envs:
        for mode in MODES:
            envs.autoreset_mode = mode
            expected = record(sync_sub_envs(kind, mode=mode), 24)
            assert_same(list(told(envs, 24)), expected, mode.value)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
def test_the_mode_that_it_is_made_with_is_that_of_sync_vector_env(mode: AutoresetMode) -> None:
    expected = record(sync_sub_envs("box", mode=mode), 24)
    assert_same(record(parallel_sub_envs("box", mode), 24), expected)


def test_seeds_reach_the_sub_environments_as_in_sync_vector_env() -> None:
    local = sync_sub_envs("box")
    with parallel_sub_envs("box", AutoresetMode.NEXT_STEP) as envs:
        for seed in (None, 7, [1, None, 3], (4, 5, 6), np.array([7, 8, 9])):
            envs.reset(seed=1)
            actual = list(told(envs, 12, seed=seed))
            local.reset(seed=1)
            given = seed.tolist() if isinstance(seed, np.ndarray) else seed
            assert_same(actual, list(told(local, 12, seed=given)), str(seed))
    local.close()


def test_views_equal_copies_and_hold_until_the_next_call() -> None:
    with parallel_sub_envs("dict", AutoresetMode.SAME_STEP, copy=False) as envs:
        for name, (expected, actual) in zip(
            range(24),
            zip(
                told(sync_sub_envs("dict", mode=AutoresetMode.SAME_STEP), 24),
                told(envs, 24),
                strict=True,
            ),
            strict=False,
        ):
            assert_same(actual, expected, str(name))
            # What the loop was given, before it calls again.
            observation = actual[1][0]
            assert not observation["z"].flags.owndata
            assert not observation["z"].flags.writeable


@pytest.mark.parametrize("name", [*ALONE, ALL])
def test_values_of_every_space_cross_as_they_are(name: str) -> None:
    factory: Callable[[], SpaceEnv] = partial(SpaceEnv, name)
    local = SyncVectorEnv([factory] * 2)
    local.reset(seed=3)
    # A generator of its own: the environments of this process share the space.
    space = local.action_space
    space.seed(9)
    actions = [space.sample() for _ in range(3)]
    with rlmesh.make_vec(factory, num_envs=2, workers=1) as envs:
        assert envs.single_observation_space == local.single_observation_space
        envs.reset(seed=3)
        for action in actions:
            result = envs.step(action)
            if name in NOT_IN_SYNC:
                assert_same(result[0], action)
            else:
                assert_same(result, local.step(action))
    local.close()


def test_methods_and_attributes_are_those_of_the_sub_environments() -> None:
    with parallel_sub_envs("box", AutoresetMode.NEXT_STEP) as envs:
        local: Any = sync_sub_envs("box")
        for each in (envs, local):
            each.reset(seed=2)
            each.set_attr("level", [1, 2, 3])
        assert envs.render() == local.render() == tuple(f"level {n}, step 0" for n in (1, 2, 3))
        assert envs.get_attr("level") == (1, 2, 3)
        assert_same(envs.call("scale", 2.0, plus=1.0), local.call("scale", 2.0, plus=1.0))
        envs.set_attr("level", 9)
        assert envs.get_attr("level") == (9, 9, 9)
        with pytest.raises(rlmesh.errors.InvalidArgumentError, match="as many as"):
            envs.set_attr("level", [1, 2])
        with pytest.raises(KeyError, match=r"sub-environment 0.*no such thing"):
            envs.call("fail")
        # A method that raises ends no episode.
        envs.step(envs.action_space.sample())
        local.close()


def test_objects_of_an_environments_shape_are_sub_environments_too() -> None:
    with rlmesh.make_vec(partial(ShapedSubEnv, "box"), num_envs=3, workers=2) as envs:
        assert_same(list(told(envs, 12)), record(sync_sub_envs("box"), 12))


def test_the_autoreset_mode_can_be_changed_by_its_name() -> None:
    with parallel_sub_envs("box", AutoresetMode.NEXT_STEP) as envs:
        envs.autoreset_mode = "disabled"
        assert envs.metadata["autoreset_mode"] is AutoresetMode.DISABLED
        expected = record(sync_sub_envs("box", mode=AutoresetMode.DISABLED), 24)
        assert_same(list(told(envs, 24)), expected)


def test_a_report_larger_than_its_area_crosses_too() -> None:
    with rlmesh.make_vec(partial(Verbose, "box"), num_envs=4, workers=2) as envs:
        envs.reset(seed=0)
        for _ in range(3):
            infos = envs.step(envs.action_space.sample())[-1]
            assert [len(log or "") for log in infos["log"]] == [1_000_000] * 4


def test_a_registered_environment_is_made_by_its_id_with_wrappers_and_arguments() -> None:
    with rlmesh.make_vec(
        "CartPole-v1",
        num_envs=2,
        workers=2,
        wrappers=[gymnasium.wrappers.RecordEpisodeStatistics],
        max_episode_steps=5,
    ) as envs:
        assert envs.spec is not None
        assert envs.spec.id == "CartPole-v1"
        envs.reset(seed=0)
        for _ in range(4):
            envs.step(np.array([0, 1]))
        *_, truncations, infos = envs.step(np.array([0, 1]))
        assert truncations.all()
        assert infos["episode"]["l"].tolist() == [5, 5]
