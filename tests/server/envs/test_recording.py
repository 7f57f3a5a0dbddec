"""A server records what happens in its environments, and a step is as ever where it does not."""

from __future__ import annotations

import errno
import logging
from pathlib import Path
from typing import Any

import gymnasium
import pytest

import rlmesh
from rlmesh.recording.reading import open_recordings
from rlmesh.recording.summary import summarize
from rlmesh.server.envs import recording
from support.serving import serving


def drive(address: str, steps: int = 5, seed: int = 0) -> None:
    with rlmesh.RemoteEnv[Any, Any](address) as env:
        env.reset(seed=seed)
        for _ in range(steps):
            env.step(1)
        env.reset()


def test_without_recording_a_step_calls_the_environment_itself() -> None:
    """No frame, no lookup and no branch is there for it."""
    env = gymnasium.make("CartPole-v1")
    with serving(env) as server:
        drive(server.address)
        [slot] = server._provider.all()
        backend: Any = slot.made
        assert backend._steps._env is env
        assert backend._recording is None


@pytest.mark.parametrize("isolation", [None, "process"])
def test_each_environment_has_its_recording(isolation: Any, tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    with serving(
        lambda: gymnasium.make("CartPole-v1"), sessions=2, isolation=isolation, record=folder
    ) as server:
        drive(server.address, steps=5, seed=1)
        drive(server.address, steps=3, seed=2)
    found = [summarize(files) for files in open_recordings(folder)]
    assert sorted((each.episodes[0].seed, each.steps) for each in found) == [(1, 5), (2, 3)]
    assert rlmesh.replay(folder, "CartPole-v1").same


def test_one_environment_goes_on_in_one_recording(tmp_path: Path) -> None:
    with serving(gymnasium.make("CartPole-v1"), record=tmp_path) as server:
        drive(server.address, seed=1)
        drive(server.address, seed=2)
    [files] = open_recordings(tmp_path)
    assert [each.seed for each in summarize(files).episodes] == [1, None, 2, None]


def test_a_session_in_another_autoreset_mode_has_its_own_recording(tmp_path: Path) -> None:
    vector = gymnasium.make_vec("CartPole-v1", 2, vectorization_mode="sync")
    with serving(vector, record=tmp_path) as server:
        for mode in ("next_step", "same_step"):
            env = rlmesh.RemoteVectorEnv[Any, Any](server.address, autoreset=mode)
            env.reset(seed=0)
            for _ in range(12):
                env.step(env.action_space.sample())
            env.close()
    modes = [each.contract.autoreset_mode for each in open_recordings(tmp_path)]
    assert sorted(mode.value for mode in modes if mode) == ["next_step", "same_step"]


def test_a_full_disk_ends_the_recording_and_not_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(recording.EnvRecording, "_made", full)
    with (
        caplog.at_level(logging.ERROR, "rlmesh.server"),
        serving(gymnasium.make("CartPole-v1"), record=tmp_path) as server,
    ):
        drive(server.address)
    assert "not recorded" in caplog.text
    assert "No space left on device" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"record": "a.mcap"}, "record= takes a folder"),
        ({"record_max_bytes": 1 << 20}, "are for what record= records"),
        ({"record": "a", "record_observations": "some"}, "'all' or 'digest'"),
        ({"record": "a", "record_max_bytes": 3}, "must be 1048576 or more"),
        ({"record": "/dev/null/a"}, "cannot be made"),
    ],
)
def test_wrong_arguments_are_refused(
    arguments: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        rlmesh.EnvServer(gymnasium.make("CartPole-v1"), **arguments)
