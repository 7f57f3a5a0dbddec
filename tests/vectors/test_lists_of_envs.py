"""A list of environments is served as Gymnasium's SyncVectorEnv would be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode

import rlmesh
from rlmesh.errors import InvalidEnvError, UnsupportedSpaceError
from support.comparing import assert_same
from support.plain_envs import PlainCounter, PlainVector
from support.serving import remote_vector, serving
from support.vector_envs import KINDS, ShapedSubEnv, SubEnv, record, sync_sub_envs, told

pytestmark = pytest.mark.usefixtures("transports_in_turn")

STEPS = 24


@pytest.mark.parametrize("sub_env", [SubEnv, ShapedSubEnv])
@pytest.mark.parametrize("kind", KINDS)
def test_sub_envs_of_a_list_are_as_those_of_a_sync_vector_env(
    kind: str, sub_env: Callable[[str], Any]
) -> None:
    local = sync_sub_envs(kind)
    with remote_vector([sub_env(kind) for _ in range(3)]) as client:
        assert client.num_envs == 3
        for name in ("observation_space", "action_space"):
            assert getattr(client, name) == getattr(local, name)
            assert getattr(client, f"single_{name}") == getattr(local, f"single_{name}")
        assert_same(client.metadata, local.metadata)
        assert client.render_mode == local.render_mode
        for (call, actual), (_, wanted) in zip(
            told(client, STEPS), record(local, STEPS), strict=True
        ):
            assert_same(actual, wanted, call)


@pytest.mark.parametrize("sub_env", [SubEnv, ShapedSubEnv])
@pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: str(mode.name).lower())
def test_sub_envs_of_a_list_run_whichever_mode_a_client_asks_for(
    mode: AutoresetMode, sub_env: Callable[[], Any]
) -> None:
    expected = record(sync_sub_envs(mode=mode), STEPS)
    with remote_vector((sub_env(), sub_env(), sub_env()), autoreset=mode) as client:
        for (call, actual), (_, wanted) in zip(told(client, STEPS), expected, strict=True):
            assert_same(actual, wanted, call)


def test_gymnasium_and_plain_sub_envs_mix_and_render() -> None:
    with remote_vector([SubEnv(), ShapedSubEnv()]) as client:
        client.reset(seed=1)
        assert client.render() == ("level 1, step 0",) * 2


def test_the_server_closes_every_sub_env_of_its_list() -> None:
    envs = [ShapedSubEnv() for _ in range(3)]
    with serving(envs):
        assert not any(env.closed for env in envs)
    assert all(env.closed for env in envs)


class OldSubEnv(PlainCounter):
    """Resets and steps as environments of Gym before 0.26 did."""

    seeds: list[Any]

    def seed(self, seed: int) -> None:
        self.seeds = [seed]

    def reset(self) -> Any:  # type: ignore[override] # as it was
        return super().reset()[0]

    def step(self, action: Any) -> Any:
        observation, reward, done, _, info = super().step(action)
        return observation, reward, done, {**info, "TimeLimit.truncated": True}


def test_old_sub_envs_are_read_as_old_environments_are() -> None:
    envs = [OldSubEnv(), OldSubEnv()]
    with remote_vector(envs) as client:
        _, infos = client.reset(seed=4)
        assert infos == {}
        assert [env.seeds for env in envs] == [[4], [5]]
        for _ in range(4):
            client.step(np.zeros((2, 2), np.float32))
        _, rewards, terminations, truncations, _ = client.step(np.zeros((2, 2), np.float32))
        assert_same(rewards, np.array([0.5, 0.5]))
        assert_same(terminations, np.array([False, False]))
        assert_same(truncations, np.array([True, True]))


class Narrow(SubEnv):
    def __init__(self) -> None:
        super().__init__("box")
        self.observation_space = spaces.Box(-0.5, 0.5, (2, 3), np.float32)


class Unsupported(SubEnv):
    def __init__(self) -> None:
        super().__init__("box")
        self.observation_space = spaces.Tuple([spaces.Sequence(spaces.Discrete(2))])


def twice() -> list[Any]:
    env_index = SubEnv()
    return [env_index, SubEnv(), env_index]


REFUSED: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "nothing": (list, InvalidEnvError, "an empty list"),
    "one twice": (twice, InvalidEnvError, "got one of them twice"),
    "other spaces": (
        lambda: [SubEnv("box"), SubEnv("text")],
        InvalidEnvError,
        "must have equal spaces",
    ),
    "other bounds": (
        lambda: [SubEnv("box"), Narrow()],
        InvalidEnvError,
        'observation_mode="different"',
    ),
    "a vector environment": (
        lambda: [SubEnv(), sync_sub_envs()],
        InvalidEnvError,
        "sub-environment 1 of the list must be a single environment, got SyncVectorEnv",
    ),
    "a plain vector environment": (
        lambda: [PlainVector()],
        InvalidEnvError,
        "sub-environment 0 of the list must be a single environment, got PlainVector",
    ),
    "no environment": (
        lambda: [SubEnv(), object()],
        InvalidEnvError,
        "sub-environment 1 of the list: .* got object without observation_space",
    ),
    "a class": (
        lambda: [SubEnv],
        InvalidEnvError,
        "sub-environment 0 of the list: .* class SubEnv",
    ),
    "a space that is not carried": (
        lambda: [Unsupported()],
        UnsupportedSpaceError,
        r"\$\[0\]",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_list_that_cannot_be_sub_envs_is_refused_at_construction(case: str) -> None:
    make, kind, message = REFUSED[case]
    with pytest.raises(kind, match=message):
        rlmesh.EnvServer(make())


def test_a_list_of_one_is_a_vector_of_one_sub_env() -> None:
    with remote_vector([gymnasium.make("CartPole-v1")]) as client:
        observations, _ = client.reset(seed=0)
        assert observations.shape == (1, 4)
