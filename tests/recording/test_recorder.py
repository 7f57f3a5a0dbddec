"""What happens in an environment is kept bit for bit, and as much of it as was written is read."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from mcap.reader import make_reader

import rlmesh
from rlmesh.codec.infos.packing import unpack, unpack_info
from rlmesh.codec.slab.layout import compile_layout
from rlmesh.contract import read_contract
from rlmesh.errors import InvalidArgumentError
from rlmesh.recording.parts import LEAST_BYTES, Place
from rlmesh.recording.reading import (
    RecordedReset,
    RecordedStep,
    RecordingFiles,
    open_recordings,
)
from rlmesh.recording.summary import summarize
from support.recorded import EPISODES, STEPS, Manifold, record
from support.serving import serving
from support.waiting import wait_until

KILLED = """
import sys, gymnasium, rlmesh
env = rlmesh.Recorder(gymnasium.make("CartPole-v1"), sys.argv[1])
env.reset(seed=0)
for action in (0, 1, 0, 1, 0):
    env.step(action)
print("stepped", flush=True)
sys.stdin.read()
"""


class Noise(gymnasium.Env[Any, Any]):
    """Its observations have 64 KiB that cannot be compressed."""

    observation_space = spaces.Box(0, 255, (1 << 16,), np.uint8)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self._observation(), 0.0, False, False, {}

    def _observation(self) -> Any:
        return self.np_random.integers(0, 256, 1 << 16, np.uint8)


def read(path: Path) -> RecordingFiles:
    [files] = open_recordings(path)
    return files


def calls_of(path: Path) -> list[Any]:
    return list(read(path).calls())


def test_each_call_is_kept_bit_for_bit(tmp_path: Path) -> None:
    """Observations of every kind of space, actions, rewards, flags, infos, seeds and options."""
    kept: list[Any] = []

    class Witness(gymnasium.Wrapper[Any, Any, Any, Any]):
        def step(self, action: Any) -> Any:
            returned = super().step(action)
            kept.append((action, returned))
            return returned

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            returned = super().reset(seed=seed, options=options)
            kept.append(((seed, options), returned))
            return returned

    path = record(Witness(Manifold()), tmp_path / "a.mcap", (3, None, 1 << 40))
    files = read(path)
    assert files.contract == read_contract(Manifold())
    observed, acted = (
        compile_layout(space)
        for space in (files.contract.observation_space, files.contract.action_space)
    )
    calls = list(files.calls())
    assert len(calls) == len(kept) == EPISODES * (1 + STEPS)
    for call, (given, returned) in zip(calls, kept, strict=True):
        if isinstance(call, RecordedReset):
            assert call.result is not None
            seed = unpack(call.call.seed) if call.call.seed else None
            assert (seed, unpack(call.call.options)) == given
            observation, info = returned
            assert call.result.observation == observed.encode(observation)
            assert repr(unpack_info(call.result.info)) == repr(info)
        else:
            assert isinstance(call, RecordedStep)
            assert call.result is not None
            observation, reward, terminated, truncated, info = returned
            assert call.action == acted.encode(given)
            assert call.result.observation == observed.encode(observation)
            assert np.float64(call.result.rewards[0]).tobytes() == np.float64(reward).tobytes()
            assert [*call.result.terminations, *call.result.truncations] == [terminated, truncated]
            assert repr(unpack_info(call.result.info)) == repr(info)
    assert files.damages == []


def test_any_reader_of_mcap_finds_the_messages_and_their_schema(tmp_path: Path) -> None:
    path = record(Manifold(), tmp_path / "a.mcap", (3,))
    with path.open("rb") as file:
        found = [
            (schema.name, schema.encoding, channel.topic)
            for schema, channel, _ in make_reader(file, validate_crcs=True).iter_messages()
            if schema is not None
        ]
    assert found[0] == ("rlmesh_api.v1.Recording", "protobuf", "recording")
    assert set(found[1:]) == {("rlmesh_api.v1.RecordedCalls", "protobuf", "calls")}


def test_the_environment_is_given_each_action_as_its_space_declares_it(tmp_path: Path) -> None:
    """So a replay gives it the same bits, whatever was given here."""
    given: list[Any] = []

    class Actions(Manifold):
        def step(self, action: Any) -> Any:
            given.append(action)
            return super().step(action)

    with_list = rlmesh.Recorder(Actions(), tmp_path / "a.mcap")
    with_list.reset(seed=0)
    with_list.step([0.1, 0.2])
    with_list.close()
    assert given[0].dtype == np.float32
    np.testing.assert_array_equal(given[0], np.array([0.1, 0.2], np.float32))


def test_what_happened_a_second_ago_survives_a_kill(tmp_path: Path) -> None:
    """Also where nothing is called any more: it is written from another thread."""
    path = tmp_path / "killed.mcap"
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"stepped\n"
            wait_until(lambda: len(calls_of(path)) == 6)
        finally:
            process.send_signal(signal.SIGKILL)
    found = summarize(read(path))
    assert (found.steps, found.episodes[0].steps) == (5, 5)
    assert ["was not closed" in str(each) for each in found.damages] == [True]


def test_a_file_that_was_cut_is_read_as_far_as_it_is_whole(tmp_path: Path) -> None:
    whole = tmp_path / "whole.mcap"
    recorder = rlmesh.Recorder(Noise(), whole)
    recorder.reset(seed=0)
    for _ in range(4):
        recorder.step(1)
        recorder.flush()
    recorder.close()
    data, calls = whole.read_bytes(), calls_of(whole)
    counts = []
    for end in range(len(data) // 6, len(data), len(data) // 12):
        cut = tmp_path / f"{end}.mcap"
        cut.write_bytes(data[:end])
        files = read(cut)
        found = list(files.calls())
        assert found == calls[: len(found)]
        counts.append(len(found))
        if found == calls and not files.damages:
            continue  # the index alone was cut
        [damage] = files.damages
        assert damage.size + damage.lost == end
        assert str(cut) in str(damage)
    assert counts == sorted(counts)
    assert {0, 3} < set(counts)
    flipped = tmp_path / "flipped.mcap"
    middle = len(data) // 2
    flipped.write_bytes(data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :])
    files = read(flipped)
    assert list(files.calls()) == calls[: len(list(files.calls()))]
    assert "damaged" in str(files.damages[0])


def test_max_bytes_drops_the_oldest_episodes(tmp_path: Path) -> None:
    other = tmp_path / "notes.mcap"
    other.write_bytes(b"not a part that a recorder has named")
    recorder = rlmesh.Recorder(Noise(), tmp_path, max_bytes=LEAST_BYTES)
    for seed in range(30):
        recorder.reset(seed=seed)
        recorder.step(0)
        recorder.flush()
        assert sum(path.stat().st_size for path in tmp_path.glob("Unknown*")) <= LEAST_BYTES
    recorder.close()
    assert other.exists()
    other.unlink()
    seeds = [each.seed for each in summarize(read(tmp_path)).episodes]
    assert seeds == list(range(seeds[0], 30))
    assert 0 < seeds[0] < 28
    assert rlmesh.replay(tmp_path, Noise()).same


def test_max_bytes_holds_for_fast_steps_of_several_recorders_without_a_reset(
    tmp_path: Path,
) -> None:
    recorders = [rlmesh.Recorder(Noise(), tmp_path, max_bytes=4 << 20) for _ in range(3)]
    for recorder in recorders:
        recorder.reset(seed=0)
    most = 0
    for _ in range(3):
        for recorder in recorders:
            for _ in range(60):
                recorder.step(0)
            recorder.flush()
            most = max(most, sum(path.stat().st_size for path in tmp_path.iterdir()))
    for recorder in recorders:
        recorder.close()
    # Besides the limit, one part of each that is being written.
    assert most <= (4 << 20) + 3 * (1 << 20)


def test_a_recording_that_grows_is_read_as_it_was_when_it_was_opened(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    recorder = rlmesh.Recorder(Noise(), path)
    recorder.reset(seed=0)
    recorder.flush()
    files = read(path)
    calls = files.calls()
    found = [next(calls)]
    recorder.step(0)
    recorder.flush()
    found += calls
    assert len(found) == 1
    [damage] = files.damages
    assert damage.lost == 0
    recorder.close()
    assert len(calls_of(path)) == 2


def test_a_recording_that_somebody_removes_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    recorder = rlmesh.Recorder(Noise(), path)
    path.unlink()
    recorder.reset(seed=0)
    with pytest.raises(OSError, match="somebody has removed it"):
        recorder.close()


def test_a_digest_keeps_no_observation_and_still_tells_them_apart(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    recorder = rlmesh.Recorder(Noise(), path, observations="digest")
    recorder.reset(seed=5)
    for _ in range(3):
        recorder.step(0)
    recorder.close()
    assert path.stat().st_size < 1 << 16
    assert rlmesh.replay(path, Noise()).same

    class Other(Noise):
        def step(self, action: Any) -> Any:
            observation, *rest = super().step(action)
            observation[9] ^= 1
            return observation, *rest

    difference = rlmesh.replay(path, Other()).difference
    assert difference is not None
    assert (difference.part, difference.step) == ("observation", 1)
    assert "digest" in difference.recorded


def test_an_error_of_the_environment_is_kept_and_replayed(tmp_path: Path) -> None:
    class Failing(Manifold):
        message = "the gripper is stuck"

        def step(self, action: Any) -> Any:
            raise OSError(self.message)

    path = tmp_path / "a.mcap"
    recorder = rlmesh.Recorder(Failing(), path)
    for seed in (0, 1):
        recorder.reset(seed=seed)
        with pytest.raises(OSError, match="stuck"):
            recorder.step(np.zeros(2, np.float32))
    recorder.close()
    step = calls_of(path)[1]
    assert isinstance(step, RecordedStep)
    assert step.failure is not None
    assert step.failure.exception_message == "the gripper is stuck"
    assert [each.ending for each in summarize(read(path)).episodes] == ["error", "error"]
    assert rlmesh.replay(path, Failing()).same

    class Otherwise(Failing):
        message = "the gripper is gone"

    difference = rlmesh.replay(path, Otherwise()).difference
    assert difference is not None
    assert (difference.part, difference.replayed) == ("error", "OSError: the gripper is gone")


def test_a_full_disk_is_an_error_and_what_was_written_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    recorder = rlmesh.Recorder(Noise(), path)
    recorder.reset(seed=0)
    recorder.flush()

    def full(count: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    recorder._recorded.writer._file._make_room = full
    recorder.step(0)
    with pytest.raises(OSError, match="No space left on device") as raised:
        recorder.flush()
    assert raised.value.errno == errno.ENOSPC
    assert str(path) in str(raised.value)
    with pytest.raises(OSError, match="No space left"):
        recorder.step(0)
    with pytest.raises(OSError, match="No space left"):
        recorder.close()
    assert len(calls_of(path)) == 1


def test_a_part_in_which_nothing_could_be_written_is_no_part(tmp_path: Path) -> None:
    def full(place: Place, count: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Place, "make_room", full)
        with pytest.raises(OSError, match="No space left"):
            rlmesh.Recorder(Noise(), tmp_path)
    assert not list(tmp_path.iterdir())
    recorder = rlmesh.Recorder(Noise(), tmp_path)
    recorder.reset(seed=0)
    recorder.close()
    # As a kill leaves it before the first write.
    (tmp_path / "Killed.mcap").touch()
    assert len(open_recordings(tmp_path)) == 1


def test_a_server_is_not_made_where_nothing_can_be_recorded() -> None:
    with pytest.raises(ValueError, match="the folder /proc for recordings cannot be written to"):
        rlmesh.EnvServer(Noise(), record="/proc")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"path": 3}, TypeError, r"a file that ends in \.mcap, or a folder"),
        ({"path": "a.mcap", "max_bytes": 1 << 30}, ValueError, "max_bytes needs a folder"),
        ({"path": "a", "max_bytes": 5}, ValueError, "must be 1048576 or more"),
        ({"path": "a", "max_bytes": 2.5}, TypeError, "must be an integer or None"),
        ({"path": "a", "observations": "some"}, ValueError, "'all' or 'digest'"),
    ],
)
def test_wrong_arguments_are_refused(
    arguments: dict[str, Any],
    error: type[Exception],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        rlmesh.Recorder(Manifold(), **arguments)
    assert list(tmp_path.iterdir()) == []


def test_no_recording_is_overwritten(tmp_path: Path) -> None:
    path = record(Manifold(), tmp_path / "a.mcap", (0,))
    before = path.read_bytes()
    with pytest.raises(ValueError, match="exists already, and no recording is overwritten"):
        rlmesh.Recorder(Manifold(), path)
    assert path.read_bytes() == before


def test_only_environments_of_gymnasium_are_wrapped(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="goes around a gymnasium"):
        rlmesh.Recorder(object(), tmp_path / "a.mcap")  # type: ignore[call-overload]


def test_a_file_that_is_no_recording_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.mcap"
    path.write_bytes(b"Dear diary")
    with pytest.raises(ValueError, match="is no recording: it does not begin as a file of MCAP"):
        open_recordings(path)
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        open_recordings(tmp_path / "absent.mcap")
    with pytest.raises(ValueError, match="is a file, and no recording is overwritten"):
        rlmesh.Recorder(Manifold(), path.rename(tmp_path / "notes.txt"))
    os.mkfifo(path)
    with pytest.raises(ValueError, match="it is no file"):
        open_recordings(path)
    path.unlink()
    with pytest.raises(ValueError, match="there is no recording in"):
        open_recordings(tmp_path)


def test_without_the_package_an_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mcap.writer", None)
    with pytest.raises(RuntimeError, match=r"pip install 'rlmesh\[record\]'"):
        rlmesh.Recorder(Manifold(), tmp_path / "a.mcap")


def test_an_action_that_the_space_refuses_never_reaches_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    recorder = rlmesh.Recorder(Manifold(), path)
    recorder.reset(seed=0)
    with pytest.raises(ValueError, match="The environment was not called"):
        recorder.step(np.zeros(3, np.float32))
    recorder.step(np.zeros(2, np.float32))
    recorder.close()
    assert len(calls_of(path)) == 2


def test_an_observation_that_its_space_does_not_hold_is_an_error(tmp_path: Path) -> None:
    class Wrong(Manifold):
        def step(self, action: Any) -> Any:
            observation, *rest = super().step(action)
            observation["arm"]["joints"] = np.zeros(3, np.float32)
            return observation, *rest

    recorder = rlmesh.Recorder(Wrong(), tmp_path / "a.mcap")
    recorder.reset(seed=0)
    with pytest.raises(ValueError, match=r"cannot be recorded.*\$\.arm\.joints"):
        recorder.step(np.zeros(2, np.float32))
    recorder.close()


@pytest.mark.parametrize("mode", ["NEXT_STEP", "SAME_STEP", "DISABLED"])
def test_episodes_of_a_vector_environment_are_told_apart(mode: str, tmp_path: Path) -> None:
    def make() -> Any:
        wanted = gymnasium.vector.AutoresetMode[mode]
        return gymnasium.make_vec(
            "CartPole-v1", 3, vectorization_mode="sync", vector_kwargs={"autoreset_mode": wanted}
        )

    path = tmp_path / "a.mcap"
    env = rlmesh.Recorder(make(), path)
    assert isinstance(env, gymnasium.vector.VectorEnv)
    random = np.random.default_rng(0)
    seeds: Any = [4, 9, 2]
    env.reset(seed=seeds)
    lengths: list[list[int]] = [[0], [0], [0]]
    over = np.zeros(3, bool)
    for _ in range(60):
        if mode == "DISABLED" and over.any():
            env.reset(options={"reset_mask": over.copy()})
            for index in np.flatnonzero(over).tolist():
                lengths[index].append(0)
        before = over
        *_, terminated, truncated, _ = env.step(random.integers(2, size=3))
        over = terminated | truncated
        for index in range(3):
            if mode == "NEXT_STEP" and before[index]:
                lengths[index].append(0)
                continue
            lengths[index][-1] += 1
            if mode == "SAME_STEP" and over[index]:
                lengths[index].append(0)
    env.close()
    found = summarize(read(path))
    for index in range(3):
        episodes = [each for each in found.episodes if each.env_index == index]
        assert [each.steps for each in episodes] == lengths[index]
        assert [each.total_reward for each in episodes] == lengths[index]
        assert [each.ending for each in episodes[:-1]] == ["terminated"] * (len(episodes) - 1)
        assert episodes[0].seed == seeds[index]
    replayed = rlmesh.replay(path, make())
    assert replayed.same, replayed
    assert len(replayed.episodes) == len(found.episodes)
    with serving(make()) as server:
        served = rlmesh.replay(path, server.address)
    assert served.same, served


def test_a_recording_takes_no_more_memory_as_it_grows(tmp_path: Path) -> None:
    """What waits to be written is bounded: a step that finds too much of it has it written."""
    recorder = rlmesh.Recorder(Noise(), tmp_path)
    writer = recorder._recorded.writer
    writer.most = 3
    recorder.reset(seed=0)
    for _ in range(20):
        recorder.step(0)
        assert len(writer.items) <= 4
    recorder.close()
    assert writer.items == type(writer.items)()


def test_a_recorder_that_is_forgotten_ends_its_recording(tmp_path: Path) -> None:
    def forget(use: Callable[[Any], object]) -> None:
        use(rlmesh.Recorder(Manifold(), tmp_path / "a.mcap"))

    forget(lambda recorder: recorder.reset(seed=0))
    files = read(tmp_path / "a.mcap")
    assert len(list(files.calls())) == 1
    assert files.damages == []


def test_steps_of_some_sub_environments_are_refused_where_they_would_not_be_recorded(
    tmp_path: Path,
) -> None:
    with (
        rlmesh.EnvServer(lambda: gymnasium.make("CartPole-v1"), num_envs=2, record=tmp_path) as at,
        rlmesh.RemoteVectorEnv(at.address, batch_size=1) as env,
    ):
        env.reset(seed=0)
        env.send(np.array([0, 1]))
        with pytest.raises(InvalidArgumentError, match="is recorded, and a recording holds steps"):
            env.recv()
    assert not hasattr(rlmesh.Recorder(several(), tmp_path), "send")


def several() -> Any:
    return gymnasium.make_vec("CartPole-v1", 2, vectorization_mode="sync")
