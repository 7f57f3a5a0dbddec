"""The autoreset modes: a training loop sees the same arrays and infos as it would locally."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import rlmesh
from support.async_vectors import STEPS, served_async_sub_envs
from support.comparing import assert_same
from support.serving import remote_vector, serving
from support.vector_envs import KINDS, Envs, SubEnv, record, sync_sub_envs, told

pytestmark = pytest.mark.usefixtures("transports_in_turn")

MODES = list(AutoresetMode)


def mode_name(mode: object) -> str:
    return str(getattr(mode, "name", mode)).lower()


def assert_told(envs: Envs, expected: list[tuple[str, Any]], steps: int = STEPS) -> None:
    for (call, actual), (_, wanted) in zip(told(envs, steps), expected, strict=True):
        assert_same(actual, wanted, call)


# Every kind of space crosses every transport in test_batched_spaces.py.
@pytest.mark.parametrize("transports_in_turn", ["shm"], indirect=True)
@pytest.mark.parametrize("mode", MODES, ids=mode_name)
@pytest.mark.parametrize("kind", KINDS)
def test_every_autoreset_mode_is_as_that_of_a_sync_vector_env(
    kind: str, mode: AutoresetMode
) -> None:
    expected = record(sync_sub_envs(kind, mode=mode), STEPS)
    with remote_vector(sync_sub_envs(kind, mode=mode)) as client:
        assert client.metadata["autoreset_mode"] is mode
        assert_told(client, expected)


@pytest.mark.parametrize("transports_in_turn", ["shm"], indirect=True)
@pytest.mark.parametrize(
    ("kind", "mode"),
    [*(("dict", mode) for mode in MODES), ("box", AutoresetMode.NEXT_STEP)],
    ids=mode_name,
)
def test_every_autoreset_mode_is_as_that_of_an_async_vector_env(
    kind: str, mode: AutoresetMode, tmp_path: Path
) -> None:
    with (
        served_async_sub_envs(kind, mode.name, tmp_path) as served,
        contextlib.closing(rlmesh.RemoteVectorEnv[Any, Any](served.address)) as client,
    ):
        assert client.metadata["autoreset_mode"] is mode
        assert_told(client, served.recorded)


def ends(expected: list[tuple[str, Any]]) -> Iterator[tuple[Any, Any]]:
    for call, result in expected:
        if call.startswith("step") and (result[2] | result[3]).any():
            yield result[2] | result[3], result[4]


def test_same_step_tells_the_last_observation_and_info_of_the_sub_envs_that_ended() -> None:
    with remote_vector(sync_sub_envs("tuple", mode=AutoresetMode.SAME_STEP)) as client:
        seen = list(ends(list(told(client, STEPS))))
    assert seen, "no sub-environment ended"
    for done, infos in seen:
        assert_same(infos["_final_obs"], done)
        assert_same(infos["_final_info"], done)
        space = KINDS["tuple"]()
        for env_index, observation in enumerate(infos["final_obs"]):
            assert (observation in space) if done[env_index] else observation is None
        assert_same(infos["final_info"]["_count"], done)
        assert_same(infos["_count"], ~done)


def test_a_reset_mask_resets_its_sub_envs_alone_and_options_pass_beside_it() -> None:
    local: Any = sync_sub_envs(mode=AutoresetMode.DISABLED)
    with remote_vector(sync_sub_envs(mode=AutoresetMode.DISABLED)) as client:
        mask = np.array([False, True, False])
        for envs in (local, client):
            envs.action_space.seed(1)
            envs.reset(seed=2)
            envs.step(envs.action_space.sample())
        given: list[dict[str, Any]] = [{"reset_mask": mask.copy(), "word": "a"} for _ in range(2)]
        expected = local.reset(seed=[7, 8, 9], options=given[0])
        observations, infos = client.reset(seed=[7, 8, 9], options=given[1])
        assert_same((observations, infos), expected)
        assert given == [{"word": "a"}] * 2, "both take the mask, which wrappers go by"
        assert_same(infos["_options"], mask)
        assert infos["options"][1] == ["word"]
    local.close()


@pytest.mark.parametrize(
    ("mask", "kind"),
    [
        (np.array([True, False]), rlmesh.errors.InvalidArgumentError),
        (np.zeros(3, bool), rlmesh.errors.InvalidArgumentError),
        (np.array([1, 0, 0]), rlmesh.errors.ArgumentTypeError),
        ([True, False, False], rlmesh.errors.ArgumentTypeError),
    ],
    ids=["too short", "none", "no bools", "no array"],
)
def test_a_wrong_reset_mask_is_one_error_however_many_endpoints_there_are(
    mask: Any, kind: type[rlmesh.errors.RlmeshError]
) -> None:
    def make() -> Any:
        return sync_sub_envs(mode=AutoresetMode.DISABLED)

    local = make()
    messages = []
    with contextlib.ExitStack() as stack:
        stack.callback(local.close)
        several = [stack.enter_context(serving(SubEnv())).address for _ in range(3)]
        one = stack.enter_context(serving(make())).address
        for address in (one, several):
            client = rlmesh.RemoteVectorEnv[Any, Any](address, autoreset="disabled")
            stack.callback(client.close)
            client.reset(seed=0)
            with pytest.raises(kind, match="reset_mask") as caught:
                client.reset(options={"reset_mask": mask})
            messages.append(str(caught.value))
            client.reset(options={"reset_mask": np.array([True, False, False])})
            client.step(client.action_space.sample())
        local.reset(seed=0)
        with pytest.raises((TypeError, ValueError)) as own:
            local.reset(options={"reset_mask": mask})
    assert messages[0] == messages[1]
    assert isinstance(caught.value, type(own.value)), "the built-in type is the one in-process"


def test_a_sub_env_that_ended_and_was_not_reset_is_told_and_a_reset_mends_it() -> None:
    with remote_vector(sync_sub_envs(mode=AutoresetMode.DISABLED)) as client:
        client.reset(seed=0)
        results = (client.step(client.action_space.sample()) for _ in range(STEPS))
        with pytest.raises(rlmesh.errors.RemoteEnvError) as caught:
            list(results)
        assert caught.value.exception_type == "AssertionError"
        client.reset()
        client.step(client.action_space.sample())


@pytest.mark.parametrize("mode", MODES, ids=mode_name)
def test_what_vectors_give_is_owned_writable_and_of_the_declared_types(
    mode: AutoresetMode,
) -> None:
    with remote_vector(sync_sub_envs("box", mode=mode)) as client:
        observations, _ = client.reset(seed=0)
        seen = [observations]
        for _ in range(3):
            observations, rewards, terminations, truncations, infos = client.step(
                client.action_space.sample()
            )
            assert (observations.dtype.name, observations.shape) == ("float32", (3, 2, 3))
            assert (rewards.dtype.name, rewards.shape) == ("float64", (3,))
            for flags in (terminations, truncations):
                assert (flags.dtype.name, flags.shape) == ("bool", (3,))
            for array in (observations, rewards, terminations, truncations, infos["row"]):
                assert array.flags.writeable
                assert not any(np.shares_memory(array, earlier) for earlier in seen)
                array[:] = 0
                seen.append(array)
