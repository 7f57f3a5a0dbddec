"""What happens in an evaluation is kept, and can be replayed."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from gymnasium.vector import AutoresetMode

import rlmesh
from rlmesh.recording import container, writer
from rlmesh.recording.reading import open_recordings
from rlmesh.recording.summary import summarize


def balance(observation: Any) -> int:
    return int(observation[2] > 0)


def lengths(folder: Path) -> dict[Any, int]:
    return {
        episode.seed: episode.steps
        for files in open_recordings(folder)
        for episode in summarize(files).episodes
        if episode.seed is not None
    }


def test_each_environment_of_an_evaluation_is_recorded(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    found = rlmesh.evaluate(balance, "CartPole-v1", episodes=6, workers=2, record=folder)
    assert len(open_recordings(folder)) <= 2
    assert lengths(folder) == {each.seed: each.length for each in found.episodes}
    assert rlmesh.replay(folder, "CartPole-v1").same


def test_episodes_of_a_vector_environment_are_recorded(tmp_path: Path) -> None:
    def make() -> Any:
        return gymnasium.make_vec(
            "CartPole-v1",
            2,
            vectorization_mode="sync",
            vector_kwargs={"autoreset_mode": AutoresetMode.DISABLED},
        )

    found = rlmesh.evaluate(balance, make, episodes=5, record=tmp_path)
    kept = lengths(tmp_path)
    assert {each.seed: kept[each.seed] for each in found.episodes} == {
        each.seed: each.length for each in found.episodes
    }
    replayed = rlmesh.replay(tmp_path, make)
    assert replayed.same, replayed


def test_an_environment_of_the_caller_goes_on_after_its_recording(tmp_path: Path) -> None:
    env = gymnasium.make("CartPole-v1")
    rlmesh.evaluate(balance, env, episodes=1, record=tmp_path)
    env.reset(seed=0)
    assert len(lengths(tmp_path)) == 1


def test_a_full_disk_stops_the_evaluation_and_is_no_outcome(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[int] = []

    def full(self: Any, *_: Any) -> None:
        if done:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(container.ContainerWriter, "_write", full)
    monkeypatch.setattr(writer, "_MOST_BYTES", 1)
    with pytest.raises(OSError, match="cannot be written: No space left on device"):
        rlmesh.evaluate(
            balance,
            "CartPole-v1",
            episodes=50,
            record=tmp_path / "kept",
            resume=tmp_path / "episodes",
            on_episode=lambda episode: done.append(episode.seed),
        )
    assert len((tmp_path / "episodes").read_text().splitlines()) >= 1 + len(done)


def test_a_recording_needs_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="record= takes a folder"):
        rlmesh.evaluate(balance, "CartPole-v1", episodes=1, record=tmp_path / "a.mcap")
