"""`record show`, `replay` and `export` from a shell."""

from __future__ import annotations

import contextlib
import json
import signal
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from click.testing import CliRunner, Result
from mcap.reader import make_reader

import rlmesh
from rlmesh._cli.main import main
from support.processes import command
from support.serving import serving


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "a.mcap"
    env = rlmesh.Recorder(gymnasium.make("CartPole-v1"), path)
    env.reset(seed=3)
    for _ in range(5):
        env.step(1)
    env.close()
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(each) for each in arguments])


def test_show_prints_what_is_in_a_recording(recording: Path) -> None:
    result = run("record", "show", recording)
    assert result.exit_code == 0, result.output
    for word in ("CartPole-v1", "unfinished", "rlmesh", "Box"):
        assert word in result.output
    data = json.loads(run("record", "show", recording, "--json").stdout)
    assert (data["id"], data["steps"], data["observations"]) == ("CartPole-v1", 5, "all")
    [episode] = data["episodes"]
    assert (episode["seed"], episode["steps"], episode["total_reward"]) == (3, 5, 5.0)


def test_show_says_what_is_damaged(recording: Path) -> None:
    with recording.open("rb") as file:
        summary = make_reader(file).get_summary()
    assert summary is not None
    # In the middle of the last chunk, before the index.
    end = summary.chunk_indexes[-1].chunk_start_offset + 40
    recording.write_bytes(recording.read_bytes()[:end])
    result = run("record", "show", recording)
    assert result.exit_code == 0, result.output
    assert "bytes are whole, the" in " ".join(result.output.split())


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mcap").write_text("Dear diary")
    for words in (("record", "show"), ("replay",), ("export",)):
        ends: dict[str, list[object]] = {
            "replay": ["CartPole-v1"],
            "export": ["--to", "csv", "--out", tmp_path / "a.csv"],
        }
        result = run(*words, tmp_path / "a.mcap", *ends.get(words[0], []))
        assert result.exit_code == (2 if words[0] == "replay" else 1)
        assert "is no recording" in result.stderr
    assert run("record", "show", tmp_path / "absent").exit_code == 2


def test_replay_exits_with_1_at_a_difference(recording: Path) -> None:
    same = run("replay", recording, "CartPole-v1")
    assert (same.exit_code, same.output) == (0, "1 of 1 episodes are the same, in 5 steps.\n")
    other = run(
        "replay", recording, "CartPole-v1", "--kwargs-json", '{"sutton_barto_reward": true}'
    )
    assert other.exit_code == 1
    assert "episode 0, step 1: reward was 1.0, is 0.0" in other.output
    kwargs = '{"sutton_barto_reward": false}'
    data = json.loads(
        run(
            *("replay", recording, "CartPole-v1", "--json", "--tolerance", "0"),
            *("--kwargs-json", kwargs),
        ).stdout
    )
    assert data["same"]
    [difference] = data["contract_differences"]
    assert difference["place"] == "$.spec.kwargs.sutton_barto_reward"


def test_replay_asks_a_server_at_its_address(recording: Path) -> None:
    with serving(gymnasium.make("CartPole-v1")) as server:
        assert run("replay", recording, server.address).exit_code == 0
    assert run("replay", recording, server.address, "--timeout", "0.1").exit_code == 2


def test_export_says_what_is_left_out(recording: Path, tmp_path: Path) -> None:
    result = run("export", recording, "--to", "csv", "--out", tmp_path / "a.csv")
    assert result.exit_code == 0, result.output
    assert result.stderr == "infos are not in the table\n"
    assert (tmp_path / "a.csv").read_text().count("\n") == 6
    again = run("export", recording, "--to", "csv", "--out", tmp_path / "a.csv")
    assert again.exit_code == 1
    assert "File exists" in again.stderr


def test_serve_records_what_its_clients_did(tmp_path: Path) -> None:
    arguments = ("serve", "CartPole-v1", "--address=tcp://127.0.0.1:0", f"--record={tmp_path}")
    with command(*arguments) as process:
        address = process.line().partition("served at ")[2].partition(";")[0]
        with contextlib.closing(rlmesh.RemoteEnv[Any, Any](address)) as client:
            client.reset(seed=7)
            for _ in range(5):
                client.step(1)
        process.send(signal.SIGTERM)
        assert process.end().code == 0
    [file] = tmp_path.iterdir()
    [episode] = json.loads(run("record", "show", file, "--json").stdout)["episodes"]
    assert (episode["seed"], episode["steps"]) == (7, 5)
    assert run("replay", file, "CartPole-v1").exit_code == 0
