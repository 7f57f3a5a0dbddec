"""Recordings in other formats hold the same values, episode by episode."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import rlmesh
from rlmesh.exporting.episodes import EpisodeReader
from rlmesh.exporting.exporting import export
from rlmesh.recording.reading import open_recordings
from support.recorded import EPISODES, STEPS, Manifold, record


class Camera(gymnasium.Env[Any, Any]):
    """Its observations hold an image of an odd width."""

    metadata = {"render_fps": 10}  # noqa: RUF012 - as Gymnasium has it

    def __init__(self, side: int = 17) -> None:
        self.observation_space = spaces.Dict(
            {
                "eye": spaces.Box(0, 255, (16, side, 3), np.uint8),
                "count": spaces.Box(0, 9, (1,), np.float32),
            }
        )
        self.action_space = spaces.Discrete(2)
        self._side = side

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._steps = 0
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._steps += 1
        return self._observation(), 1.0, self._steps == 4, False, {}

    def _observation(self) -> Any:
        image = np.full((16, self._side, 3), 40 * self._steps, np.uint8)
        return {"eye": image, "count": np.full(1, self._steps, np.float32)}


def test_a_table_reads_to_the_same_bits(tmp_path: Path) -> None:
    path = record(Manifold(), tmp_path / "a.mcap", (5, 6, None))
    notes = export(path, "csv", str(tmp_path / "a.csv"))
    assert notes == ["infos are not in the table"]
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == EPISODES * STEPS
    whole = list(EpisodeReader(open_recordings(path)).episodes())
    assert [episode.seed for episode in whole] == [5, 6, None]
    for number, row in enumerate(rows):
        episode, step = whole[number // STEPS], number % STEPS
        assert (int(row["episode"]), int(row["step"])) == (number // STEPS, step + 1)
        assert float(row["reward"]) == episode.rewards[step]
        assert float(row["action[0]"]) == episode.actions[step][0]
        before = episode.observations[step]
        assert float(row["observation.arm.frame[1, 0]"]) == before["arm"]["frame"][1, 0]
        after = episode.observations[step + 1]
        assert row["next_observation.word"] == after["word"]
        assert int(row["next_observation.wheels[1]"]) == after["wheels"][1]
    with pytest.raises(FileExistsError):
        export(path, "csv", str(tmp_path / "a.csv"))


@pytest.mark.parametrize("mode", ["NEXT_STEP", "SAME_STEP", "DISABLED"])
def test_a_vector_environment_has_the_episodes_of_single_ones(mode: str, tmp_path: Path) -> None:
    """Each ends with its own last observation, and not with the first of the next."""
    wanted = gymnasium.vector.AutoresetMode[mode]
    env = rlmesh.Recorder(
        gymnasium.make_vec(
            "CartPole-v1", 2, vectorization_mode="sync", vector_kwargs={"autoreset_mode": wanted}
        ),
        tmp_path / "a.mcap",
    )
    env.reset(seed=[3, 4])
    over = np.zeros(2, bool)
    for _ in range(40):
        if mode == "DISABLED" and over.any():
            env.reset(options={"reset_mask": over.copy()})
        *_, terminated, truncated, _ = env.step(np.array([0, 1]))
        over = terminated | truncated
    env.close()
    found = list(EpisodeReader(open_recordings(tmp_path / "a.mcap")).episodes())
    assert {episode.env_index for episode in found} == {0, 1}
    for index in (0, 1):
        single = gymnasium.make("CartPole-v1")
        observation, _ = single.reset(seed=3 + index)
        episodes = [episode for episode in found if episode.env_index == index]
        assert len(episodes) > 2
        for episode in episodes:
            assert len(episode.observations) == len(episode.actions) + 1
            np.testing.assert_array_equal(episode.observations[0], observation)
            for action, seen in zip(episode.actions, episode.observations[1:], strict=True):
                observation, *_ = single.step(action)
                np.testing.assert_array_equal(seen, observation)
            observation, _ = single.reset()


def test_a_video_has_a_frame_for_each_observation(tmp_path: Path) -> None:
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    recorder = rlmesh.Recorder(Camera(), tmp_path / "a.mcap")
    for seed in (0, 1):
        recorder.reset(seed=seed)
        for _ in range(4):
            recorder.step(0)
    recorder.close()
    notes = export(tmp_path / "a.mcap", "video", str(tmp_path / "videos"))
    assert any("not lossless" in note for note in notes)
    paths = sorted((tmp_path / "videos").iterdir())
    assert [path.name for path in paths] == ["episode-00000-eye.mp4", "episode-00001-eye.mp4"]
    # imageio_ffmpeg reads frames too, and leaves its pipes to the garbage collector.
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    read = subprocess.run(
        [ffmpeg.get_ffmpeg_exe(), "-i", str(paths[0]), *raw], capture_output=True, check=True
    )
    assert re.search(rb"Video: h264.* 18x16.* 10 fps", read.stderr), read.stderr
    frames = np.frombuffer(read.stdout, np.uint8).reshape(-1, 16, 18, 3)
    brightness = [float(frame.mean()) for frame in frames]
    np.testing.assert_allclose(brightness, [0, 40, 80, 120, 160], atol=6)
    with pytest.raises(ValueError, match="exists already"):
        export(tmp_path / "a.mcap", "video", str(tmp_path / "videos"))


def test_what_cannot_be_exported_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = record(Manifold(), tmp_path / "a.mcap", (0,))
    with pytest.raises(
        ValueError, match=r"no part of an observation is an image.*\$\.camera uint8"
    ):
        export(path, "video", str(tmp_path / "videos"))
    for word in ("no id", "x/test-v0", "a.b/test-v0", "/test-v0", "a//b", "test"):
        with pytest.raises(ValueError, match="is no id of a data set of Minari"):
            export(path, "minari", word)
    monkeypatch.setitem(sys.modules, "minari", None)
    with pytest.raises(RuntimeError, match="which is not installed"):
        export(path, "minari", "rlmesh/manifold-v0")
    digest = rlmesh.Recorder(Manifold(), tmp_path / "b.mcap", observations="digest")
    digest.reset(seed=0)
    digest.close()
    with pytest.raises(ValueError, match="has digests instead of observations"):
        export(tmp_path / "b.mcap", "csv", str(tmp_path / "b.csv"))
    record_other(tmp_path / "c.mcap")
    with pytest.raises(ValueError, match="has other spaces than"):
        export(tmp_path, "csv", str(tmp_path / "c.csv"))


@pytest.mark.parametrize(
    ("to", "package", "extra"),
    [("video", "imageio_ffmpeg", "video"), ("lerobot", "lerobot", "lerobot")],
)
def test_without_the_package_an_error_says_what_to_install(
    to: Any, package: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_other(tmp_path / "a.mcap")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(RuntimeError, match=rf"pip install 'rlmesh\[{extra}\]'"):
        export(tmp_path / "a.mcap", to, str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def record_other(path: Path) -> None:
    recorder = rlmesh.Recorder(Camera(), path)
    recorder.reset(seed=0)
    recorder.close()


def test_a_data_set_of_minari_has_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    minari = pytest.importorskip("minari")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "sets"))
    recorder = rlmesh.Recorder(Camera(64), tmp_path / "a.mcap")
    for seed in (7, 8):
        recorder.reset(seed=seed)
        for _ in range(4):
            recorder.step(1)
    recorder.close()
    export(tmp_path / "a.mcap", "minari", "rlmesh/camera-v0")
    found = minari.load_dataset("rlmesh/camera-v0")
    whole = list(EpisodeReader(open_recordings(tmp_path / "a.mcap")).episodes())
    assert (found.total_episodes, found.total_steps) == (2, 8)
    assert found.observation_space == Camera(64).observation_space
    for one, other in zip(found.iterate_episodes(), whole, strict=True):
        for key in ("eye", "count"):
            wanted = np.stack([observation[key] for observation in other.observations])
            assert one.observations[key].dtype == wanted.dtype
            np.testing.assert_array_equal(one.observations[key], wanted)
        np.testing.assert_array_equal(one.actions, other.actions)
        assert one.rewards.tobytes() == np.array(other.rewards).tobytes()
        np.testing.assert_array_equal(one.terminations, other.terminations)
        np.testing.assert_array_equal(one.truncations, other.truncations)
    with pytest.raises(ValueError, match="there is a data set"):
        export(tmp_path / "a.mcap", "minari", "rlmesh/camera-v0")
