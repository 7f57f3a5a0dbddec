"""A list of environments is served as lanes, as Gymnasium's SyncVectorEnv would have them."""

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
from support.lane_envs import KINDS, LaneEnv, ShapedLane, record, sync_lanes, told
from support.plain_envs import PlainCounter, PlainVector
from support.serving import remote_vector, serving

pytestmark = pytest.mark.usefixtures("each_lane")

STEPS = 24


@pytest.mark.parametrize("lane", [LaneEnv, ShapedLane])
@pytest.mark.parametrize("kind", KINDS)
def test_lanes_of_a_list_are_as_those_of_a_sync_vector_env(
    kind: str, lane: Callable[[str], Any]
) -> None:
    local = sync_lanes(kind)
    with remote_vector([lane(kind) for _ in range(3)]) as client:
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


@pytest.mark.parametrize("lane", [LaneEnv, ShapedLane])
@pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: str(mode.name).lower())
def test_lanes_of_a_list_run_whichever_mode_a_client_asks_for(
    mode: AutoresetMode, lane: Callable[[], Any]
) -> None:
    expected = record(sync_lanes(mode=mode), STEPS)
    with remote_vector((lane(), lane(), lane()), autoreset=mode) as client:
        for (call, actual), (_, wanted) in zip(told(client, STEPS), expected, strict=True):
            assert_same(actual, wanted, call)


def test_gymnasium_and_plain_lanes_mix_and_render() -> None:
    with remote_vector([LaneEnv(), ShapedLane()]) as client:
        client.reset(seed=1)
        assert client.render() == ("level 1, step 0",) * 2


def test_the_server_closes_every_lane_of_its_list() -> None:
    lanes = [ShapedLane() for _ in range(3)]
    with serving(lanes):
        assert not any(lane.closed for lane in lanes)
    assert all(lane.closed for lane in lanes)


class OldLane(PlainCounter):
    """Resets and steps as environments of Gym before 0.26 did."""

    seeds: list[Any]

    def seed(self, seed: int) -> None:
        self.seeds = [seed]

    def reset(self) -> Any:  # type: ignore[override] # as it was
        return super().reset()[0]

    def step(self, action: Any) -> Any:
        observation, reward, done, _, info = super().step(action)
        return observation, reward, done, {**info, "TimeLimit.truncated": True}


def test_old_lanes_are_read_as_old_environments_are() -> None:
    lanes = [OldLane(), OldLane()]
    with remote_vector(lanes) as client:
        _, infos = client.reset(seed=4)
        assert infos == {}
        assert [lane.seeds for lane in lanes] == [[4], [5]]
        for _ in range(4):
            client.step(np.zeros((2, 2), np.float32))
        _, rewards, terminations, truncations, _ = client.step(np.zeros((2, 2), np.float32))
        assert_same(rewards, np.array([0.5, 0.5]))
        assert_same(terminations, np.array([False, False]))
        assert_same(truncations, np.array([True, True]))


class Narrow(LaneEnv):
    def __init__(self) -> None:
        super().__init__("box")
        self.observation_space = spaces.Box(-0.5, 0.5, (2, 3), np.float32)


class Unsupported(LaneEnv):
    def __init__(self) -> None:
        super().__init__("box")
        self.observation_space = spaces.Tuple([spaces.Sequence(spaces.Discrete(2))])


def twice() -> list[Any]:
    lane = LaneEnv()
    return [lane, LaneEnv(), lane]


REFUSED: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "nothing": (list, InvalidEnvError, "an empty list"),
    "one twice": (twice, InvalidEnvError, "got one of them twice"),
    "other spaces": (
        lambda: [LaneEnv("box"), LaneEnv("text")],
        InvalidEnvError,
        "must have equal spaces",
    ),
    "other bounds": (
        lambda: [LaneEnv("box"), Narrow()],
        InvalidEnvError,
        'observation_mode="different"',
    ),
    "a vector environment": (
        lambda: [LaneEnv(), sync_lanes()],
        InvalidEnvError,
        "lane 1 of the list must be a single environment, got SyncVectorEnv",
    ),
    "a plain vector environment": (
        lambda: [PlainVector()],
        InvalidEnvError,
        "lane 0 of the list must be a single environment, got PlainVector",
    ),
    "no environment": (
        lambda: [LaneEnv(), object()],
        InvalidEnvError,
        "lane 1 of the list: .* got object without observation_space",
    ),
    "a class": (lambda: [LaneEnv], InvalidEnvError, "lane 0 of the list: .* class LaneEnv"),
    "a space that is not carried": (
        lambda: [Unsupported()],
        UnsupportedSpaceError,
        r"\$\[0\]",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_list_that_cannot_be_lanes_is_refused_at_construction(case: str) -> None:
    make, kind, message = REFUSED[case]
    with pytest.raises(kind, match=message):
        rlmesh.EnvServer(make())


def test_a_list_of_one_is_a_vector_of_one_lane() -> None:
    with remote_vector([gymnasium.make("CartPole-v1")]) as client:
        observations, _ = client.reset(seed=0)
        assert observations.shape == (1, 4)
