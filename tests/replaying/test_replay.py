"""A replay names the first thing that an environment does otherwise than was recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import rlmesh
from rlmesh.replaying.distance import ulps
from support.recorded import STEPS, Manifold, changes, record
from support.serving import serving

SEEDS = (11, 22, 33)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(Manifold(), tmp_path_factory.mktemp("recorded") / "a.mcap", SEEDS)


def test_the_same_environment_does_the_same(recording: Path) -> None:
    found = rlmesh.replay(recording, Manifold)
    assert found.same, found
    assert [each.seed for each in found.episodes] == [*SEEDS]
    assert [each.steps for each in found.episodes] == [STEPS] * 3
    assert found.contract_differences == ()
    assert str(found) == "3 of 3 episodes are the same, in 15 steps."


def test_fifty_of_fifty_planted_changes_are_named_exactly(recording: Path) -> None:
    planted = list(changes())
    assert len(planted) == 50
    for number, (change, (part, path, index), distance) in enumerate(planted):
        episode, step = number % 3, 1 + number % (STEPS - 1)
        found = rlmesh.replay(recording, Manifold(change, (episode, step)))
        difference = found.difference
        assert difference is not None, f"change {number} at {path} was not found"
        named = (difference.episode, difference.step, difference.part, difference.path)
        assert named == (episode, step, part, path), f"change {number}: {difference}"
        assert difference.index == index, f"change {number}: {difference}"
        assert difference.recorded != difference.replayed
        if distance != -1:
            assert difference.ulps == distance, f"change {number}: {difference}"
        # The other episodes have their own seeds.
        assert [each.difference is None for each in found.episodes].count(False) == 1
        assert not found.same


def test_a_served_environment_is_replayed_at_its_address(recording: Path) -> None:
    with serving(Manifold()) as server:
        assert rlmesh.replay(recording, server.address).same
    change, *_ = next(changes())
    with serving(Manifold(change, (1, 2))) as server:
        difference = rlmesh.replay(recording, server.address).difference
    assert difference is not None
    assert (difference.episode, difference.step, difference.path) == (1, 2, "$.arm.joints")


def test_a_difference_reads_as_a_sentence(recording: Path) -> None:
    change, *_ = next(changes())
    text = str(rlmesh.replay(recording, Manifold(change, (2, 3))))
    assert "2 of 3 episodes are the same" in text
    assert "The first difference: episode 2, step 3: observation $.arm.joints at [0] was " in text
    assert ", 1 unit in the last place apart" in text


def test_a_tolerance_lets_small_differences_pass(recording: Path) -> None:
    change, *_ = next(changes())
    assert rlmesh.replay(recording, Manifold(change, (0, 1)), tolerance=1e-6).same
    assert not rlmesh.replay(recording, Manifold(change, (0, 1)), tolerance=1e-9).same
    for wrong, error in ((-1, ValueError), ("much", TypeError), (float("nan"), ValueError)):
        with pytest.raises(error, match="tolerance must be"):
            rlmesh.replay(recording, Manifold(), tolerance=wrong)  # type: ignore[arg-type]


def test_an_episode_without_a_seed_is_replayed_and_marked(tmp_path: Path) -> None:
    path = record(Manifold(), tmp_path / "a.mcap", (None, 4, None))
    found = rlmesh.replay(path, Manifold())
    # The last one goes on with the random numbers of the one before it.
    assert [each.seeded for each in found.episodes] == [False, True, True]
    assert [each.difference is None for each in found.episodes] == [False, True, True]
    assert "1 episode did not begin with a seed" in str(found)
    assert found.difference is not None
    assert found.difference.episode == 0
    assert not found.same


def test_what_follows_a_difference_without_a_seed_is_marked(tmp_path: Path) -> None:
    path = record(Manifold(), tmp_path / "a.mcap", (4, None))
    change, *_ = next(changes())
    found = rlmesh.replay(path, Manifold(change, (0, 2)))
    assert [each.seeded for each in found.episodes] == [True, False]


def test_the_wall_clock_is_not_compared_and_is_listed(tmp_path: Path) -> None:
    def make() -> Any:
        return gymnasium.wrappers.RecordEpisodeStatistics(Manifold())

    path = record(make(), tmp_path / "a.mcap", (0, 1))
    found = rlmesh.replay(path, make())
    assert found.same, found
    assert set(found.ignored) <= {"$.episode.t"}

    class Clock(Manifold):
        def step(self, action: Any) -> Any:
            *rest, info = super().step(action)
            return (*rest, info | {"now": float(np.random.default_rng().random())})

    path = record(Clock(), tmp_path / "b.mcap", (0,))
    assert not rlmesh.replay(path, Clock()).same
    found = rlmesh.replay(path, Clock(), ignore=["$.now"])
    assert found.same
    assert found.ignored == ("$.now",)
    assert "Not compared in infos: $.now." in str(found)


def test_contracts_are_compared_first(recording: Path) -> None:
    class Wider(Manifold):
        def __init__(self) -> None:
            super().__init__()
            self.action_space = spaces.Box(-2, 2, (2,), np.float32)

    found = rlmesh.replay(recording, Wider())
    assert [each.place for each in found.contract_differences] == ["$.action_space"]
    assert found.difference is None
    assert not found.same

    class Longer(Manifold):
        def __init__(self) -> None:
            super().__init__()
            self.action_space = spaces.Box(-1, 1, (3,), np.float32)

    found = rlmesh.replay(recording, Longer())
    assert found.refused is not None
    assert "action_space has other leaves, shapes or dtypes" in found.refused
    assert found.episodes == ()
    assert not found.same
    vector = gymnasium.vector.SyncVectorEnv([Manifold, Manifold])
    refused = rlmesh.replay(recording, vector).refused
    assert refused is not None
    assert "a single environment, and this is a vector environment of 2" in refused


def test_the_environment_of_the_caller_stays_open(recording: Path) -> None:
    closed: list[bool] = []

    class Closing(Manifold):
        def close(self) -> None:
            closed.append(True)

    env = Closing()
    rlmesh.replay(recording, env)
    assert closed == []
    rlmesh.replay(recording, Closing)
    assert closed == [True]
    with pytest.raises(TypeError, match="replayed in an environment"):
        rlmesh.replay(recording, 3)


def test_a_sub_environment_that_differs_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    class Sub(gymnasium.Wrapper[Any, Any, Any, Any]):
        def __init__(self, differs: bool) -> None:
            super().__init__(gymnasium.make("CartPole-v1"))
            self.differs = differs
            self.steps = 0

        def step(self, action: Any) -> Any:
            observation, reward, *rest = super().step(action)
            self.steps += 1
            if self.differs and self.steps == 7:
                reward = np.nextafter(float(reward), 9.0)
            return observation, reward, *rest

    def make(differing: int | None) -> Any:
        makers = [lambda index=index: Sub(index == differing) for index in range(3)]
        return gymnasium.vector.SyncVectorEnv(makers)

    path = tmp_path / "a.mcap"
    recorder: Any = rlmesh.Recorder
    env = recorder(make(None), path)
    env.reset(seed=0)
    random = np.random.default_rng(0)
    for _ in range(40):
        env.step(random.integers(2, size=3))
    env.close()
    found = rlmesh.replay(path, make(1))
    [other] = [each for each in found.episodes if each.difference is not None]
    assert other.difference is not None
    assert (other.env_index, other.difference.step, other.difference.part) == (1, 7, "reward")
    assert other.difference.ulps == 1
    assert {each.env_index for each in found.episodes if each.steps > 7} >= {0, 2}


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (1.0, np.nextafter(1.0, 2.0), 1),
        (0.0, -0.0, 0),
        (-5e-324, 5e-324, 2),
        (np.float32(1), np.nextafter(np.float32(1), np.float32(0)), 1),
        (np.float16(1), np.float16(2), 1024),
        (1.0, float("nan"), None),
        (np.int64(1), np.int64(2), None),
        (np.float32(1), 1.0, None),
    ],
)
def test_distances_are_in_units_in_the_last_place(a: Any, b: Any, expected: int | None) -> None:
    assert ulps(a, b) == expected
