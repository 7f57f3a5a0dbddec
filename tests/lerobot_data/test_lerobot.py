"""A data set of LeRobot, opened by its own package; `make lerobot` runs this."""

from __future__ import annotations

import importlib
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

pytest.importorskip("lerobot")

# Its packages use what NumPy and others have deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def open_data_set(folder: Path) -> Any:
    module: Any = importlib.import_module("lerobot.datasets.lerobot_dataset")
    return module.LeRobotDataset(f"local/{folder.name}", root=folder)


def test_a_data_set_of_lerobot_has_the_same_bits(tmp_path: Path) -> None:
    path = record(Manifold(), tmp_path / "a.mcap", (5, 6, None))
    folder = tmp_path / "set"
    notes = export(path, "lerobot", str(folder), fps=20)
    assert "seeds, options and infos are not in the data set" in notes
    found = open_data_set(folder)
    assert (found.num_episodes, len(found), found.fps) == (EPISODES, EPISODES * STEPS, 20)
    # As it is stored: LeRobot's own items have floats of 32 bits.
    rows = found.hf_dataset.with_format(None)
    whole = list(EpisodeReader(open_recordings(path)).episodes())
    for number, row in enumerate(rows):
        episode, step = whole[number // STEPS], number % STEPS
        wanted = episode.observations[step]
        assert (row["episode_index"], row["frame_index"]) == (number // STEPS, step)
        for column, value in (
            ("observation.arm.joints", wanted["arm"]["joints"]),
            ("observation.arm.frame", wanted["arm"]["frame"]),
            ("observation.gear", wanted["gear"]),
            ("observation.switches", wanted["switches"]),
            ("observation.wheels.0", wanted["wheels"][0]),
            ("observation.wheels.1", wanted["wheels"][1]),
            ("observation.camera", wanted["camera"]),
            ("action", episode.actions[step]),
            ("next.reward", episode.rewards[step]),
        ):
            np.testing.assert_array_equal(np.asarray(row[column]), value, err_msg=column)
        assert row["observation.word"] == wanted["word"]
        assert row["next.done"] == (step == STEPS - 1)
        assert row["next.truncated"] == episode.truncations[step]
    assert found[STEPS + 1]["task"]
    with pytest.raises(ValueError, match="exists already; give another folder"):
        export(path, "lerobot", str(folder))


class Camera(gymnasium.Env[Any, Any]):
    """Its observations hold an image."""

    observation_space = spaces.Dict({"eye": spaces.Box(0, 255, (16, 17, 3), np.uint8)})
    action_space = spaces.Box(-1, 1, (2,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return {"eye": self.np_random.integers(0, 256, (16, 17, 3), np.uint8)}, {}

    def step(self, action: Any) -> Any:
        return *self.reset()[:1], 1.0, False, True, {}


def test_images_are_lossless(tmp_path: Path) -> None:
    path = record(Camera(), tmp_path / "a.mcap", (0, 1))
    export(path, "lerobot", str(tmp_path / "set"))
    found = open_data_set(tmp_path / "set")
    episodes = list(EpisodeReader(open_recordings(path)).episodes())
    images = [np.asarray(row["observation.images.eye"]) for row in found.hf_dataset.with_format()]
    np.testing.assert_array_equal(images, [each.observations[0]["eye"] for each in episodes])


def test_a_vector_environment_is_written_episode_by_episode(tmp_path: Path) -> None:
    env = rlmesh.Recorder(
        gymnasium.make_vec("CartPole-v1", 2, vectorization_mode="sync"), tmp_path / "a.mcap"
    )
    env.reset(seed=3)
    for _ in range(30):
        env.step(np.array([0, 1]))
    env.close()
    export(tmp_path / "a.mcap", "lerobot", str(tmp_path / "set"))
    found = open_data_set(tmp_path / "set")
    whole = list(EpisodeReader(open_recordings(tmp_path / "a.mcap")).episodes())
    rows = found.hf_dataset.with_format(None)
    states = [state for episode in whole for state in episode.observations[:-1]]
    np.testing.assert_array_equal(np.array(rows["observation.state"], np.float32), states)
    assert found.num_episodes == len(whole) > 2
