"""Each episode has a video of what the environment renders."""

from __future__ import annotations

import errno
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import rlmesh
from rlmesh.errors import ConnectionLostError, InvalidArgumentError
from rlmesh.evaluation.evaluating import Plan
from rlmesh.evaluation.results import Evaluation
from rlmesh.recording.video import VideoWriter
from support.evaluated import Countdown, decide

ffmpeg = pytest.importorskip("imageio_ffmpeg")


class Filmed(Countdown):
    """It shows how many steps are left."""

    def __init__(self, render_mode: str | None = "rgb_array", **given: Any) -> None:
        super().__init__(longest=9, **given)
        self.render_mode = render_mode

    def render(self) -> Any:
        return np.full((16, 17, 3), 20 * self._left, np.uint8)


def several() -> SyncVectorEnv:
    return SyncVectorEnv([Filmed] * 3, autoreset_mode=AutoresetMode.DISABLED)


def film(envs: Any, folder: Path, **given: Any) -> Evaluation:
    values: dict[str, Any] = {
        "seeds": range(4),
        "episodes": None,
        "workers": 1,
        "success": "end",
        "max_steps": None,
        "latency": "frozen",
        "resume": None,
        **given,
    }
    plan = Plan(decide, envs, video=folder, **values)
    plan.run(lambda episode: None)
    return plan.result()


def frames(path: Path) -> list[int]:
    """How many steps were left in each frame."""
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    read = subprocess.run(
        [ffmpeg.get_ffmpeg_exe(), "-i", str(path), *raw], capture_output=True, check=True
    )
    assert re.search(rb"Video: h264.* 18x16.* 10 fps", read.stderr), read.stderr
    images = np.frombuffer(read.stdout, np.uint8).reshape(-1, 16, 18, 3)
    return [round(float(image.mean()) / 20) for image in images]


def test_each_episode_has_a_frame_for_each_observation_and_no_more(tmp_path: Path) -> None:
    with rlmesh.EnvServer(Filmed, sessions=2) as server:
        envs: list[tuple[Any, int]] = [(Filmed, 1), (several, 1), (server.address, 2)]
        for number, (each, workers) in enumerate(envs):
            folder = tmp_path / f"{number}"
            found = film({"count": each}, folder, workers=workers)
            assert sorted(path.name for path in folder.iterdir()) == [
                f"count-seed-0000{seed}.mp4" for seed in range(4)
            ]
            for episode in found.episodes:
                path = folder / f"count-seed-{episode.seed:05}.mp4"
                assert frames(path) == list(range(episode.length, -1, -1))


def test_an_episode_that_is_run_again_has_one_whole_video(tmp_path: Path) -> None:
    made: list[Any] = []

    class Breaking(Filmed):
        def render(self) -> Any:
            if len(made) == 1 and self._seed == 1 and len(self.actions) == 1:
                raise ConnectionLostError("the server is gone")
            return super().render()

    def make() -> Any:
        made.append(Breaking())
        return made[-1]

    (episode,) = film(make, tmp_path, seeds=[1]).episodes
    assert len(made) == 2
    assert frames(tmp_path / "seed-00001.mp4") == list(range(episode.length, -1, -1))
    assert len(list(tmp_path.iterdir())) == 1


def test_an_episode_that_an_error_ends_is_filmed_as_far_as_it_went(tmp_path: Path) -> None:
    (episode,) = film(lambda: Filmed(breaks=(2,)), tmp_path, seeds=[2]).episodes
    assert episode.ending == "error"
    assert len(frames(tmp_path / "seed-00002.mp4")) == episode.length + 1


def test_what_cannot_be_filmed_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match=r"its render mode is None: make it with"):
        film(lambda: Filmed(None), tmp_path)
    with pytest.raises(InvalidArgumentError, match=r"'a b' and 'a/b' would have the same names"):
        film({"a b": Filmed, "a/b": Filmed}, tmp_path)

    class Odd(Filmed):
        def render(self) -> Any:
            return super().render()[: 16 - len(self.actions)]

    with pytest.raises(InvalidArgumentError, match=r"all of the shape \[16, 17, 3\]; got uint8"):
        film(Odd, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_ends_a_video_with_an_error_and_leaves_nothing_of_it(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    (tmp_path / "full.mp4.part").symlink_to("/dev/full")
    video = VideoWriter(tmp_path / "full.mp4", 10.0)

    def write() -> None:
        for _ in range(500):
            video.add(noise)
        video.close()

    with pytest.raises(OSError, match=r"full\.mp4 cannot be written: .*No space left on device"):
        write()
    assert not list(tmp_path.iterdir())


def test_a_full_disk_stops_the_evaluation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: VideoWriter) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(VideoWriter, "close", full)
    with pytest.raises(OSError, match="No space left on device"):
        film(Filmed, tmp_path)
