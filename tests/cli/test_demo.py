"""`demo`: a server process, episodes from this one, a summary, and a clean end."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest
from click.testing import CliRunner

from rlmesh._cli.main import main
from support.processes import Ended, command, on_a_terminal, run
from support.sample_envs import newest


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def server_of(shown: str) -> int:
    found = re.search(r"^server +process (\d+)", shown, re.MULTILINE)
    assert found, shown
    return int(found[1])


def summary(ended: Ended) -> dict[str, str]:
    """The rows after the last line of progress, by name."""
    rows = ended.out.rpartition("steps/s\n")[2].splitlines()
    return {
        name: value
        for name, _, value in (re.split(r"(  +)", row.strip(), maxsplit=1) for row in rows)
    }


def assert_driven(ended: Ended, env: str, transport: str) -> None:
    assert (ended.code, ended.err) == (0, "")
    for part in (env, "observation", "action", "episode 3 of 3: return "):
        assert part in ended.out
    told = summary(ended)
    assert told["episodes"] == "3"
    assert int(told["steps"].replace(",", "")) > 3
    assert {"mean return", "steps per second", "median step"} <= told.keys()
    assert told["server"] == "ended cleanly"
    assert gone(server_of(ended.out))
    assert transport_of(ended.out) == transport
    assert "\x1b" not in ended.out, "piped output is plain"


def test_it_gives_the_same_episodes_for_a_seed_over_the_transport_that_is_asked_for() -> None:
    env = newest("CartPole")
    options = ("--episodes=3", "--seed=0")
    by_itself = run("demo", f"--env={env}", *options)
    asked = run("demo", f"--env={env}", *options, "--transport=grpc")
    assert_driven(by_itself, env, "shm")
    assert_driven(asked, env, "grpc")
    first, second = summary(by_itself), summary(asked)
    assert (first["steps"], first["mean return"]) == (second["steps"], second["mean return"])


def test_it_drives_continuous_actions_at_an_address_that_is_given(tmp_path: Path) -> None:
    env = newest("Pendulum")
    address = f"unix://{tmp_path}/demo.sock"
    ended = run("demo", f"--env={env}", "--episodes=3", "--seed=0", f"--address={address}")
    assert_driven(ended, env, "shm")
    assert address in ended.out


def test_an_episode_without_an_end_is_cut_and_said_to_be() -> None:
    options = ["--env=Endless-v0", "--import=support.cli_envs"]
    ended = run("demo", *options, "--episodes=2", "--max-steps=20")
    assert ended.code == 0
    assert summary(ended)["cut"] == "2, which had not ended after 20 steps"
    assert summary(ended)["steps"] == "40"


def transport_of(shown: str) -> str:
    found = re.search(r"^transport +(\w+)", shown, re.MULTILINE)
    assert found, shown
    return found[1]


def test_the_transport_may_come_from_the_environment_and_the_address_of_another_server_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RLMESH_TRANSPORT", "direct")
    monkeypatch.setenv("RLMESH_ADDRESS", "unix:///nowhere/env.sock")
    ended = run("demo", "--episodes=1")
    assert (ended.code, ended.err) == (0, "")
    assert transport_of(ended.out) == "direct"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_a_signal_ends_it_early_and_the_server_cleanly(number: signal.Signals) -> None:
    options = ["--env=Endless-v0", "--import=support.cli_envs", "--max-steps=50"]
    # Piped, it prints a line for every tenth of the episodes: soon, and long before their end.
    with command("demo", *options, "--episodes=10000") as demo:
        lines: list[str] = []
        while not lines or " steps/s" not in lines[-1]:
            lines.append(demo.line())
            assert lines[-1] is not None
        demo.send(number)
        ended = demo.end()
    assert (ended.code, ended.err) == (0, "")
    assert "ended cleanly, as a signal asked" in ended.out
    assert " of 10000" in ended.out
    assert gone(server_of("\n".join(lines)))


def test_a_signal_while_the_server_is_loading_ends_both(tmp_path: Path) -> None:
    fifo = tmp_path / "loading"
    os.mkfifo(fifo)
    options = ["--env=support.cli_envs:SlowToLoad", f'--kwargs-json={{"loading": "{fifo}"}}']
    with command("demo", *options) as demo:
        assert fifo.read_text() == "loading\n"
        demo.send(signal.SIGINT)
        ended = demo.end()
    assert (ended.code, ended.err) == (0, "")


def test_a_server_that_cannot_load_is_one_line() -> None:
    ended = run("demo", "--env=NoSuchEnv-v0")
    assert ended.code == 1
    assert ended.err.startswith("Error: the server ended with exit code 1: making NoSuchEnv-v0")
    assert ended.err.count("\n") == 1


def test_verbose_shows_the_traceback_of_the_server_too() -> None:
    ended = run("demo", "--env=support.cli_envs:Raising", "--verbose")
    assert ended.code == 1
    assert 'raise ValueError("the simulator\\nis not installed")' in ended.err
    assert "making support.cli_envs:Raising failed" in ended.err.splitlines()[-1]


def test_an_environment_that_raises_is_told_and_the_server_ended() -> None:
    ended = run("demo", "--env=support.cli_envs:Breaking", "--episodes=1")
    assert ended.code == 1
    assert "Error: the environment raised ArithmeticError: the physics exploded" in ended.err
    assert gone(server_of(ended.out))


def test_a_server_that_dies_is_told() -> None:
    options = ["--env=Endless-v0", "--import=support.cli_envs", "--max-steps=50"]
    with command("demo", *options, "--episodes=100000000") as demo:
        lines: list[str] = []
        while not lines or not lines[-1].startswith("server "):
            lines.append(demo.line())
        os.kill(server_of("\n".join(lines)), signal.SIGKILL)
        ended = demo.end()
    assert ended.code == 1
    assert "the server ended with exit code -9" in ended.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--episodes=0"], "x>=1"),
        (["--seed=-1"], "x>=0"),
        (["--kwargs-json=nonsense"], "is no JSON"),
        (["--address=nonsense"], "is no address"),
        (["--transport=pigeon"], "'pigeon' is not one of"),
    ],
)
def test_wrong_usage_exits_2(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(main, ["demo", *arguments])
    assert result.exit_code == 2
    assert message in result.stderr


COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-9]m")


def test_on_a_terminal_the_display_is_live_and_coloured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    shown = on_a_terminal("demo", "--episodes=3")
    assert COLOUR.search(shown)
    assert "\x1b[2K" in shown  # a line is erased and written again
    assert "3/3" in shown
    assert "ended cleanly" in shown


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")
    shown = on_a_terminal("demo", "--episodes=3")
    assert not COLOUR.search(shown)
    assert "ended cleanly" in shown


def test_on_a_terminal_that_cannot_erase_it_prints_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    shown = on_a_terminal("demo", "--episodes=1")
    assert "\x1b" not in shown
    assert "episode 1 of 1: return" in shown


def test_piped_output_that_shall_be_coloured_is_not_live(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("FORCE_COLOR", "1")
    shown = run("demo", "--episodes=1").out
    assert COLOUR.search(shown)
    assert "\x1b[2K" not in shown
