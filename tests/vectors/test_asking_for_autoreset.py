"""`RemoteVectorEnv(autoreset=...)`: another mode than the endpoint's is converted, or refused."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import rlmesh
from support.async_vectors import SUB_ENVS, served_async_sub_envs
from support.comparing import assert_same
from support.plain_envs import PlainVector
from support.serving import remote_vector, serving
from support.vector_envs import KINDS, Envs, NoSwitch, SubEnv, record, sync_sub_envs, told

pytestmark = pytest.mark.usefixtures("transports_in_turn")

STEPS = 24
MODES = list(AutoresetMode)


def mode_name(mode: object) -> str:
    return str(getattr(mode, "name", mode)).lower()


def assert_told(envs: Any, expected: list[tuple[str, Any]]) -> None:
    for (call, actual), (_, wanted) in zip(told(envs, STEPS), expected, strict=True):
        assert_same(actual, wanted, call)


@pytest.mark.parametrize("asked", MODES, ids=mode_name)
@pytest.mark.parametrize("own", MODES, ids=mode_name)
def test_a_sync_vector_env_runs_whichever_mode_a_client_asks_for(
    own: AutoresetMode, asked: AutoresetMode
) -> None:
    expected = record(sync_sub_envs(mode=asked), STEPS)
    with remote_vector(sync_sub_envs(mode=own), autoreset=asked.name.lower()) as client:
        assert client.metadata["autoreset_mode"] is asked
        assert client.env_contract.autoreset_mode == own.name.lower(), "the contract is fixed"
        assert_told(client, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_same_step_is_made_of_disabled_element_for_element(kind: str) -> None:
    expected = record(sync_sub_envs(kind, mode=AutoresetMode.SAME_STEP), STEPS)
    envs = NoSwitch(sync_sub_envs(kind, mode=AutoresetMode.DISABLED))
    with remote_vector(envs, autoreset="same_step") as client:
        assert client.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
        assert_told(client, expected)


def test_same_step_is_made_of_disabled_workers(tmp_path: Path) -> None:
    expected = record(sync_sub_envs(num_envs=SUB_ENVS, mode=AutoresetMode.SAME_STEP), STEPS)
    with served_async_sub_envs("dict", "DISABLED", tmp_path) as served:
        client = rlmesh.RemoteVectorEnv[Any, Any](served.address, autoreset="same_step")
        with contextlib.closing(client):
            assert_told(client, expected)


def test_the_next_session_has_the_own_mode_again() -> None:
    modes: list[tuple[Any, AutoresetMode]] = [
        ("same_step", AutoresetMode.SAME_STEP),
        (None, AutoresetMode.NEXT_STEP),
        (AutoresetMode.DISABLED, AutoresetMode.DISABLED),
        (None, AutoresetMode.NEXT_STEP),
    ]
    with serving(sync_sub_envs()) as server:
        for asked, mode in modes:
            client = rlmesh.RemoteVectorEnv[Any, Any](server.address, autoreset=asked)
            with contextlib.closing(client):
                assert client.metadata["autoreset_mode"] is mode
                assert_told(client, record(sync_sub_envs(mode=mode), STEPS))


def test_a_session_after_one_of_same_step_made_of_disabled_resets_by_itself() -> None:
    with serving(NoSwitch(sync_sub_envs(mode=AutoresetMode.DISABLED))) as server:
        asking: list[tuple[Any, str]] = [("same_step", "SAME_STEP"), (None, "DISABLED")]
        for asked, mode in asking:
            client = rlmesh.RemoteVectorEnv[Any, Any](server.address, autoreset=asked)
            with contextlib.closing(client):
                assert_told(client, record(sync_sub_envs(mode=AutoresetMode[mode]), STEPS))


@pytest.mark.parametrize(
    "word",
    ["same_step", "SAME_STEP", "SameStep", AutoresetMode.SAME_STEP],
    ids=str,
)
def test_a_mode_is_asked_for_in_any_spelling(word: Any) -> None:
    with remote_vector(sync_sub_envs(), autoreset=word) as client:
        assert client.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP


@pytest.mark.parametrize("word", ["never", "", 3, True, b"same_step"], ids=repr)
def test_a_word_that_is_no_mode_is_refused_before_connecting(word: Any) -> None:
    with pytest.raises(rlmesh.errors.InvalidArgumentError, match="next_step, same_step, disabled"):
        rlmesh.RemoteVectorEnv("tcp://127.0.0.1:1", autoreset=word)


class WithoutOptions(PlainVector):
    """A plain object with autoreset disabled, whose reset takes no options."""

    metadata = {"autoreset_mode": "disabled"}  # noqa: RUF012 - as Gymnasium has it

    def reset(self, seed: Any = None) -> Any:  # type: ignore[override] # what it lacks
        return super().reset(seed)


UNSWITCHABLE: dict[str, tuple[Callable[[], Any], Any, str]] = {
    "next_step to same_step": (lambda: NoSwitch(sync_sub_envs()), "same_step", "'next_step'"),
    "next_step to disabled": (lambda: NoSwitch(sync_sub_envs()), "disabled", "'next_step'"),
    "same_step to next_step": (
        lambda: NoSwitch(sync_sub_envs(mode=AutoresetMode.SAME_STEP)),
        "next_step",
        "'same_step'",
    ),
    "disabled to next_step": (
        lambda: NoSwitch(sync_sub_envs(mode=AutoresetMode.DISABLED)),
        "next_step",
        "'disabled'",
    ),
    "an environment by itself": (
        lambda: gymnasium.make_vec("CartPole-v1", 2, vectorization_mode="vector_entry_point"),
        "disabled",
        "'next_step'",
    ),
    "an environment that tells no mode": (PlainVector, "same_step", "declares no mode"),
    "sub-environments that cannot be reset one by one": (WithoutOptions, "same_step", "'disabled'"),
}


@pytest.mark.parametrize("case", UNSWITCHABLE)
def test_a_mode_that_cannot_be_had_is_refused_when_connecting(case: str) -> None:
    make, asked, own = UNSWITCHABLE[case]
    with serving(make()) as server:
        with pytest.raises(rlmesh.errors.InvalidArgumentError) as caught:
            rlmesh.RemoteVectorEnv(server.address, autoreset=asked)
        message = str(caught.value)
        assert f"autoreset='{asked}' is not available" in message
        assert own in message
        assert "connect without autoreset=" in message
        # The refused client holds nothing.
        client = rlmesh.RemoteVectorEnv[Any, Any](server.address)
        with contextlib.closing(client):
            client.reset(seed=0)
            client.step(client.action_space.sample())


def test_the_own_mode_may_be_asked_for() -> None:
    envs = gymnasium.make_vec("CartPole-v1", 2, vectorization_mode="vector_entry_point")
    with remote_vector(envs, autoreset="next_step") as client:
        assert client.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
        client.reset(seed=0)


class DisabledVector:
    """Two sub-environments, a plain object with autoreset disabled, that reuses its arrays."""

    num_envs = 2
    metadata = {"autoreset_mode": "disabled"}  # noqa: RUF012 - as Gymnasium has it

    def __init__(self) -> None:
        env_index = SubEnv("box")
        self.single_observation_space = env_index.observation_space
        self.single_action_space = env_index.action_space
        self._observations = np.zeros((2, 2, 3), np.float32)
        self._flags = np.zeros(2, bool)

    def reset(self, seed: Any = None, options: dict[str, Any] | None = None) -> Any:
        mask = (options or {}).get("reset_mask", np.ones(2, bool))
        self._observations[mask] = 0
        self._flags[:] = False
        return self._observations, {"seeds": "no mask", "resets": mask}

    def step(self, actions: Any) -> Any:
        self._observations += np.array([0.25, 0.5], np.float32)[:, None, None]
        self._flags[:] = self._observations[:, 0, 0] == 1
        return self._observations, [1, 2], self._flags, [0, 0], {"num_envs": "both", "seeds": None}

    def close(self) -> None:
        pass


def test_same_step_of_a_plain_object_that_reuses_its_arrays_and_knows_no_masks() -> None:
    with remote_vector(DisabledVector(), autoreset="same_step") as client:
        client.reset(seed=0)
        actions = np.zeros((2, 2, 3), np.float32)
        client.step(actions)
        observations, rewards, terminations, truncations, infos = client.step(actions)
        assert_same(observations, np.stack([np.full((2, 3), 0.5), np.zeros((2, 3))]).astype("f4"))
        assert_same(rewards, np.array([1.0, 2.0]))
        assert_same(terminations, np.array([False, True]))
        assert_same(truncations, np.array([False, False]))
        final = np.full(2, None)
        final[1] = np.ones((2, 3), np.float32)
        done = np.array([False, True])
        assert_same(
            infos,
            {
                "num_envs": "both",
                "seeds": "no mask",
                "resets": done,
                "final_obs": final,
                "_final_obs": done,
                "final_info": {"num_envs": "both", "seeds": None},
                "_final_info": done,
            },
        )


class Odd(DisabledVector):
    """Returns something else than a step's results."""

    def __init__(self, returned: Any) -> None:
        super().__init__()
        self._returned = returned

    def step(self, actions: Any) -> Any:
        return self._returned


@pytest.mark.parametrize(
    "returned",
    [
        None,
        (1, 2, 3),
        (np.zeros((2, 2, 3)), [0, 0], [True], [False], {}),
        (np.zeros((2, 2, 3)), [0, 0], [True, 2], [False, False], {}),
        (np.zeros((2, 2, 3)), [0, 0], [True, False], [False, False], []),
    ],
    ids=["nothing", "a tuple of three", "too few flags", "no flags", "no info"],
)
def test_a_wrong_result_is_told_as_without_a_conversion(returned: Any) -> None:
    messages: list[str] = []
    for asked in (None, "same_step"):
        with remote_vector(Odd(returned), autoreset=asked) as client:
            client.reset()
            with pytest.raises(rlmesh.errors.InvalidResultError) as caught:
                client.step(np.zeros((2, 2, 3), np.float32))
            messages.append(str(caught.value))
            client.reset()
    assert messages[0] == messages[1]


class OddReset(DisabledVector):
    """Returns something else than a reset's results when a sub-environment ends."""

    def reset(self, seed: Any = None, options: dict[str, Any] | None = None) -> Any:
        result = super().reset(seed, options)
        return result if options is None else (1, 2, 3)


def test_a_wrong_result_of_the_reset_in_a_step_is_told_and_a_reset_mends_it() -> None:
    with remote_vector(OddReset(), autoreset="same_step") as client:
        client.reset()
        actions = np.zeros((2, 2, 3), np.float32)
        client.step(actions)
        with pytest.raises(rlmesh.errors.InvalidResultError, match=r"reset\(\) must return"):
            client.step(actions)
        client.reset()
        client.step(actions)


def test_the_last_observation_of_a_sub_env_is_of_the_space_of_one_sub_env() -> None:
    env: Envs = NoSwitch(sync_sub_envs("discrete", mode=AutoresetMode.DISABLED))
    with remote_vector(env, autoreset="same_step") as client:
        for _, result in told(client, STEPS):
            if len(result) == 5 and "final_obs" in result[4]:
                final = result[4]["final_obs"]
                assert {type(part) for part in final} <= {np.int64, type(None)}
                return
    raise AssertionError("no sub-environment ended")
