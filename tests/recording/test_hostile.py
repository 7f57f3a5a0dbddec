"""What no recorder writes is refused by name, and takes no more memory than it declares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from mcap.writer import Writer

import rlmesh
from rlmesh.errors import InvalidArgumentError
from rlmesh.exporting.episodes import EpisodeReader
from rlmesh.recording.container import ABOUT, CALLS, read_container
from rlmesh.recording.reading import open_recordings
from rlmesh.recording.summary import summarize
from rlmesh_api.v1 import recording_pb2


def recorded(path: Path) -> tuple[recording_pb2.Recording, recording_pb2.RecordedCalls]:
    env = rlmesh.Recorder(gymnasium.make("CartPole-v1"), path)
    env.reset(seed=0)
    env.step(1)
    env.close()
    found = dict(read_container(path, lambda damage: pytest.fail(str(damage))))
    calls = recording_pb2.RecordedCalls.FromString(found[CALLS])
    return recording_pb2.Recording.FromString(found[ABOUT]), calls


def written(path: Path, *messages: Any) -> Path:
    with path.open("wb") as file:
        writer: Any = Writer(file)
        writer.start()
        for message in messages:
            topic = ABOUT if isinstance(message, recording_pb2.Recording) else CALLS
            channel = writer.register_channel(topic, "protobuf", 0)
            writer.add_message(channel, 0, message.SerializeToString(), 0)
        writer.finish()
    return path


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda calls: calls.results[0].ClearField("rewards"), "0 rewards or flags of 1 env"),
        (lambda calls: calls.results[0].truncations.append(True), "2 rewards or flags of 1 env"),
        (lambda calls: setattr(calls.steps[0], "action", b"ab"), "expected a slab of 8 bytes"),
        (lambda calls: setattr(calls.results[0], "observation", b""), "expected a slab of 16"),
        (lambda calls: setattr(calls.results[0], "info", b"\xc1"), "are no packed value"),
        (lambda calls: setattr(calls.reset, "seed", b"\xc1"), "are no packed value"),
        (lambda calls: setattr(calls.reset, "options", b"\x01\x02"), "are no packed value"),
    ],
)
def test_a_call_that_cannot_be_is_refused_by_all_who_read(
    change: Any, error: str, tmp_path: Path
) -> None:
    about, calls = recorded(tmp_path / "a.mcap")
    change(calls)
    path = written(tmp_path / "b.mcap", about, calls)
    (files,) = open_recordings(path)
    readers = (
        lambda: summarize(files),
        lambda: list(EpisodeReader([files]).episodes()),
        lambda: rlmesh.replay(path, "CartPole-v1"),
    )
    for read in readers:
        with pytest.raises(InvalidArgumentError, match=rf"b\.mcap holds no recording.*{error}"):
            read()


def test_a_small_file_that_would_become_a_large_one_is_left_out(tmp_path: Path) -> None:
    about, calls = recorded(tmp_path / "a.mcap")
    path = written(tmp_path / "b.mcap", about)
    (files,) = open_recordings(path)
    calls.results[0].info = bytes(64 << 20)
    bomb = written(tmp_path / "c.mcap", calls).read_bytes()
    # It says that it becomes 1 KiB.
    declared = (bomb.index(b"zstd") - 4 - 4 - 8, 8)
    changed = bytearray(bomb)
    changed[declared[0] : sum(declared)] = (1 << 10).to_bytes(8, "little")
    assert len(bomb) < 1 << 15
    (tmp_path / "d.mcap").write_bytes(changed)
    damages: list[Any] = []
    assert not list(read_container(tmp_path / "d.mcap", damages.append))
    assert "a chunk of 67" in str(damages[0])
    assert not summarize(files).damages


def test_a_contract_of_an_environment_that_cannot_be_is_refused(tmp_path: Path) -> None:
    about, calls = recorded(tmp_path / "a.mcap")
    about.contract.vector = True
    about.contract.num_envs = (1 << 31) - 1
    path = written(tmp_path / "b.mcap", about, calls)
    with pytest.raises(InvalidArgumentError, match=r"b\.mcap"):
        summarize(open_recordings(path)[0])


def test_a_file_that_was_cut_before_its_first_call_says_so(tmp_path: Path) -> None:
    recorded(tmp_path / "a.mcap")
    (tmp_path / "b.mcap").write_bytes((tmp_path / "a.mcap").read_bytes()[:3000])
    with pytest.raises(InvalidArgumentError, match="no recording: it ends in the middle of a rec"):
        open_recordings(tmp_path / "b.mcap")


class Seeded(gymnasium.Env[Any, Any]):
    """It takes a name as its seed, as Gymnasium's do not."""

    observation_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        if seed == [1, 2, 3]:
            raise ValueError("no list")
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> Any:
        return np.zeros(1, np.float32), 0.0, True, False, {}


def test_seeds_that_are_no_integers_are_kept_and_replayed(tmp_path: Path) -> None:
    env = rlmesh.Recorder(Seeded(), tmp_path / "a.mcap")
    env.reset(seed="monday")  # type: ignore[arg-type] # as a person may
    env.step(0)
    with pytest.raises(ValueError, match="no list"):
        env.reset(seed=[1, 2, 3])  # type: ignore[arg-type] # likewise
    env.close()
    (files,) = open_recordings(tmp_path / "a.mcap")
    assert [(each.seed, each.seeded) for each in summarize(files).episodes] == [(None, True)] * 2
    assert rlmesh.replay(tmp_path / "a.mcap", Seeded).same
