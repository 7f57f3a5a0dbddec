"""`rlmesh evaluate` and `rlmesh compare`."""

from __future__ import annotations

import csv
import json
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import rlmesh
from rlmesh._cli import evaluation
from rlmesh._cli.main import main
from rlmesh.errors import StateError
from support.certificates import make_certificates
from support.evaluated import Countdown, decide
from support.processes import command, on_a_terminal

COUNTDOWN = "support.evaluated:Countdown"
DECIDE = ("--policy", "support.evaluated:decide")


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(each) for each in arguments])


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with rlmesh.EnvServer(Countdown, sessions=4) as server:
        yield server.address


@pytest.fixture
def stats() -> Any:
    return pytest.importorskip("scipy.stats")


@pytest.mark.usefixtures("stats")
def test_a_served_and_a_local_environment_are_measured_alike(address: str, tmp_path: Path) -> None:
    expected = rlmesh.evaluate(decide, Countdown, seeds=range(3, 11)).episodes
    given: list[tuple[str, ...]] = [
        (COUNTDOWN,),
        (address, "--workers", "3"),
        (address.removeprefix("tcp://"), address, COUNTDOWN),
    ]
    for envs in given:
        files = (tmp_path / "e.json", tmp_path / "e.csv")
        result = invoke(
            "evaluate",
            *envs,
            *DECIDE,
            "--episodes=8",
            "--first-seed=3",
            f"--json={files[0]}",
            f"--csv={files[1]}",
        )
        assert (result.exit_code, result.stderr) == (0, "")
        assert "support.evaluated:decide" in result.stdout
        assert rlmesh.Evaluation.from_json(files[0]).episodes == expected
        with files[1].open(newline="") as file:
            assert [int(row["seed"]) for row in csv.DictReader(file)] == list(range(3, 11))


@pytest.mark.usefixtures("stats")
def test_the_episodes_are_recorded_where_that_is_asked_for(tmp_path: Path) -> None:
    result = invoke("evaluate", COUNTDOWN, *DECIDE, "--episodes=3", f"--record={tmp_path}")
    assert (result.exit_code, result.stderr) == (0, "")
    shown = [
        json.loads(invoke("record", "show", file, "--json").stdout) for file in tmp_path.iterdir()
    ]
    episodes = [episode for each in shown for episode in each["episodes"]]
    expected = rlmesh.evaluate(decide, Countdown, episodes=3).episodes
    assert sorted((each["seed"], each["steps"]) for each in episodes) == sorted(
        (each.seed, each.length) for each in expected
    )


@pytest.mark.usefixtures("stats")
def test_environments_with_a_name_are_tasks_and_those_of_one_name_share_the_seeds(
    address: str, tmp_path: Path
) -> None:
    written = tmp_path / "e.json"
    given = (f"near it={COUNTDOWN}", f"far={address}", f"far={COUNTDOWN}")
    result = invoke("evaluate", *given, *DECIDE, "--episodes=5", f"--json={written}")
    assert (result.exit_code, result.stderr) == (0, "")
    expected = rlmesh.evaluate(decide, {"near it": Countdown, "far": Countdown}, episodes=5)
    assert rlmesh.Evaluation.from_json(written).episodes == expected.episodes
    assert "near it" in result.stdout


@pytest.mark.usefixtures("stats")
def test_the_episodes_are_filmed_where_that_is_asked_for(tmp_path: Path) -> None:
    pytest.importorskip("imageio_ffmpeg")
    pytest.importorskip("pygame")
    wanted = ("--policy=support.evaluated:push", "--episodes=2", "--max-steps=3")
    result = invoke("evaluate", "CartPole-v1", *wanted, f"--video={tmp_path}")
    assert (result.exit_code, result.stderr) == (0, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "seed-00000.mp4",
        "seed-00001.mp4",
    ]


@pytest.mark.usefixtures("stats")
def test_a_signal_ends_it_with_what_is_done_and_the_file_goes_on(tmp_path: Path) -> None:
    kept, written = tmp_path / "kept", tmp_path / "e.json"
    arguments = ("evaluate", "support.evaluated:Slow", *DECIDE, "--episodes=400")
    with command(*arguments, f"--resume={kept}", f"--json={written}") as started:
        assert started.line().startswith("episode ")
        started.send(signal.SIGINT)
        ended = started.end()
    done = len(rlmesh.Evaluation.from_json(written).episodes)
    assert 0 < done < 400
    assert ended.code == 1
    assert f"Ended early, after {done} of 400 episodes; the same command goes on" in ended.err
    assert kept.read_bytes().count(b'{"episode"') == done
    assert "Traceback" not in ended.err


@pytest.mark.usefixtures("stats")
def test_on_a_terminal_a_bar_shows_the_running_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "160")
    shown = on_a_terminal("evaluate", COUNTDOWN, *DECIDE, "--episodes=9")
    assert "\x1b[2K" in shown  # a line is erased and written again
    assert "9/9" in shown
    assert re.search(r"success [\d.]+% \[[\d.]+, [\d.]+\], return [\d.]+ \[", shown)


@pytest.mark.usefixtures("stats")
def test_errors_of_episodes_are_shown_and_are_a_failure_where_there_is_nothing_else() -> None:
    breaking = ("evaluate", COUNTDOWN, *DECIDE, "--episodes=3", "--kwargs-json")
    some = invoke(*breaking, '{"breaks": [1]}')
    assert some.exit_code == 0
    assert some.stderr == (
        "1 of 3 episodes ended with an error; the first: RuntimeError: seed 1 breaks\n"
    )
    assert invoke(*breaking, '{"breaks": [0, 1, 2]}').exit_code == 1


@pytest.mark.usefixtures("stats")
def test_a_served_model_is_a_policy_and_the_token_is_shown(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("correct-horse-battery-staple\n")
    certificates = make_certificates(tmp_path)
    env = rlmesh.EnvServer(
        Countdown(), token="correct-horse-battery-staple", tls=certificates.server()
    )
    spaces: dict[str, Any] = {
        "observation_space": Countdown().observation_space,
        "action_space": Countdown().action_space,
    }
    with env, rlmesh.ModelWorker(decide, **spaces) as model:
        given = ("evaluate", env.address, f"--policy={model.address}", "--episodes=2")
        ca = f"--tls-ca={certificates.path('ca.pem')}"
        assert invoke(*given, f"--token-file={tmp_path / 'token'}", ca).exit_code == 0
        refused = invoke(*given, ca)
    assert refused.exit_code == 1
    assert "token" in refused.stderr


@pytest.mark.parametrize(
    ("given", "code", "text"),
    [
        (("nothing:here", *DECIDE), 1, "Error: importing nothing failed"),
        ((COUNTDOWN, "--policy=support.evaluated:none"), 1, "has no none; a policy is named as"),
        ((COUNTDOWN, "--policy=decide"), 1, "decide names no policy; give it as module:callable"),
        ((COUNTDOWN, "--policy=127.0.0.1:0"), 1, "port 0 lets a server choose"),
        ((COUNTDOWN, *DECIDE, "--latency=slow"), 2, "neither frozen, nor measured, nor a number"),
        ((COUNTDOWN, *DECIDE, "--latency=-1"), 2, "is not between 0 and"),
        ((COUNTDOWN, *DECIDE, "--json=/nowhere/e.json"), 2, "There is no folder /nowhere"),
        ((COUNTDOWN,), 2, "Missing option '--policy'"),
        ((COUNTDOWN, f"a={COUNTDOWN}", *DECIDE), 2, "has no name and others have"),
        ((COUNTDOWN, *DECIDE, "--video=films"), 1, "its render mode is None: make it with"),
    ],
)
@pytest.mark.usefixtures("stats")
def test_what_cannot_be_measured_is_said_in_a_line(
    given: tuple[str, ...], code: int, text: str
) -> None:
    result = invoke("evaluate", "--episodes=1", *given)
    assert (result.exit_code, result.stdout) == (code, "")
    assert text in result.stderr


def test_without_scipy_nothing_is_run_before_that_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing() -> None:
        raise StateError("intervals need scipy")

    monkeypatch.setattr(evaluation, "stats", missing)
    result = invoke("evaluate", COUNTDOWN, "--policy=nothing:here")
    assert (result.exit_code, result.stderr) == (1, "Error: intervals need scipy\n")


@pytest.mark.usefixtures("stats")
def test_two_evaluations_are_compared(tmp_path: Path) -> None:
    policies: dict[str, Callable[[Any], int]] = {"a": decide, "b": lambda observation: 4}
    for name, policy in policies.items():
        rlmesh.evaluate(policy, Countdown, episodes=12).to_json(tmp_path / f"{name}.json")
    result = invoke("compare", tmp_path / "a.json", tmp_path / "b.json")
    assert result.exit_code == 0
    assert "Both ran 12 episodes." in result.stdout
    assert "B is better: chance alone seldom does this." in result.stdout
    as_json = invoke("compare", tmp_path / "a.json", tmp_path / "b.json", "--json")
    assert json.loads(as_json.stdout)["pairs"] == 12
    (tmp_path / "c.json").write_text("{}")
    refused = invoke("compare", tmp_path / "a.json", tmp_path / "c.json")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "is no evaluation; give a file that" in refused.stderr
