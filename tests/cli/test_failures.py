"""A load or bind that fails: exit code 1 and one line. Wrong usage: exit code 2, nothing loaded."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
from click.testing import CliRunner

from rlmesh._cli.main import main
from support.processes import SERVE_ENV, run, served

# An environment that cannot be made: an exit code of 2 shows that nobody tried.
NO_ENV = "NoSuchEnv-v0"


def one_line(code: int, out: str, err: str) -> str:
    """The one line on standard error of a command that failed."""
    assert (code, out) == (1, "")
    assert err.startswith("Error: ")
    assert err.endswith("\n")
    assert err.count("\n") == 1
    return err


Failure: TypeAlias = Callable[..., str]


@pytest.fixture
def failure(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Failure:
    """Runs a `serve` that fails, in this process; gives its one line."""
    # The command has its working directory on the path.
    monkeypatch.setattr(sys, "path", [*sys.path])

    def fail(*arguments: str) -> str:
        handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        result = CliRunner().invoke(main, ["serve", *arguments])
        out, err = capfd.readouterr()
        assert handlers == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        return one_line(result.exit_code, result.stdout + out, result.stderr + err)

    return fail


@pytest.mark.parametrize("name", [NO_ENV, "support.cli_envs:Exiting"])
def test_a_process_that_fails_writes_that_line_alone(name: str) -> None:
    ended = run("serve", name)
    assert name in one_line(ended.code, ended.out, ended.err)


def test_an_unknown_id(failure: Failure) -> None:
    assert "NoSuchEnv" in failure(NO_ENV)


def test_an_id_of_a_package_that_is_not_installed(failure: Failure) -> None:
    assert "No module named 'no_such_package'" in failure("no_such_package:Env-v0")


def test_an_import_that_fails(failure: Failure) -> None:
    line = failure("CartPole-v1", "--import=no_such_package")
    assert "importing no_such_package failed: ModuleNotFoundError" in line


def test_a_module_that_has_no_such_callable(failure: Failure) -> None:
    assert "has no Missing" in failure("support.cli_envs:Missing")


def test_a_name_that_is_no_callable(failure: Failure) -> None:
    assert "is no callable but of the type ndarray" in failure("support.cli_envs:NOT_CALLABLE")


def test_an_environment_that_raises_while_it_is_made(failure: Failure) -> None:
    for options in ([], ["--isolation=process"]):
        line = failure("support.cli_envs:Raising", *options)
        assert "making support.cli_envs:Raising failed: ValueError: the simulator is not" in line


def test_an_environment_that_exits_while_it_is_made(failure: Failure) -> None:
    assert "SystemExit: 0" in failure("support.cli_envs:Exiting")


def test_keyword_arguments_that_the_environment_does_not_take(failure: Failure) -> None:
    assert "gravty" in failure("CartPole-v1", '--kwargs-json={"gravty": 1}')


def test_something_that_is_no_environment(failure: Failure) -> None:
    assert "an object of that shape, got OrderedDict" in failure("collections:OrderedDict")


def test_a_space_that_is_not_supported_and_the_environment_is_closed(
    tmp_path: Path, failure: Failure
) -> None:
    closed = tmp_path / "closed"
    line = failure("support.cli_envs:Unsupported", f'--kwargs-json={{"closed_file": "{closed}"}}')
    assert "Sequence" in line
    assert closed.read_text() == "closed\n"


def test_a_port_in_use_and_the_environment_is_closed(tmp_path: Path, failure: Failure) -> None:
    closed = tmp_path / "closed"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = failure(
            "support.cli_envs:Counter",
            f'--kwargs-json={{"closed_file": "{closed}"}}',
            f"--address=127.0.0.1:{port}",
        )
    assert f"tcp://127.0.0.1:{port} is in use" in line
    assert closed.read_text() == "closed\n"


def test_a_port_of_the_direct_transport_in_use_and_the_environment_is_closed(
    tmp_path: Path, failure: Failure
) -> None:
    closed = tmp_path / "closed"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = failure(
            "support.cli_envs:Counter",
            f'--kwargs-json={{"closed_file": "{closed}"}}',
            f"--direct={port}",
        )
    assert f"tcp://127.0.0.1:{port} is in use" in line
    assert closed.read_text() == "closed\n"


def test_a_path_that_is_no_socket(tmp_path: Path, failure: Failure) -> None:
    path = tmp_path / "file"
    path.write_text("mine")
    assert "no socket" in failure("CartPole-v1", f"--address=unix://{path}")
    assert path.read_text() == "mine"


def test_a_path_whose_server_lives(tmp_path: Path, failure: Failure) -> None:
    with served("--env=CartPole-v1", f"--address=unix://{tmp_path}/env.sock") as (_, address):
        assert "live server" in failure("CartPole-v1", f"--address={address}")


def test_what_a_worker_cannot_make_is_on_one_line(failure: Failure) -> None:
    complaint = failure("support.cli_envs:Raising", "--num-envs=2", "--workers=2")
    assert "making support.cli_envs:Raising failed: ValueError" in complaint


def test_verbose_shows_the_traceback_too() -> None:
    ended = run("serve", "support.cli_envs:Raising", "--verbose")
    assert ended.code == 1
    assert 'raise ValueError("the simulator\\nis not installed")' in ended.err
    assert ended.err.splitlines()[-1].startswith("Error: making support.cli_envs:Raising failed")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--kwargs-json={"], "is no JSON"),
        (["--kwargs-json=[1]"], "is no JSON object"),
        (["--render-mode=rgb_array", '--kwargs-json={"render_mode": "human"}'], "once"),
        (["--vectorization-mode=async"], "needs --num-envs"),
        (["--num-envs=0"], "x>=1"),
        (["--workers=2"], "--workers needs --num-envs"),
        (["--num-envs=2", "--workers=3"], "more than --num-envs 2"),
        (["--num-envs=2", "--on-crash=replace"], "--on-crash needs --workers"),
        (
            ["--num-envs=2", "--workers=2", "--vectorization-mode=sync"],
            "--workers or --vectorization-mode",
        ),
        (["--num-envs=2", "--workers=2", "--isolation=process"], "--workers or --isolation"),
        (["--address=udp://127.0.0.1:1"], "the scheme 'udp' is unknown"),
        (["--address=tcp://0.0.0.0:0"], "--insecure"),
        (["--direct=nonsense"], "'nonsense' is no address"),
        (["--direct=unix:///tmp/env.sock"], "unix:///tmp/env.sock is no TCP address"),
        (["--direct=tcp://0.0.0.0:0"], "--insecure"),
        (["--address=5555", "--direct=127.0.0.1:5555"], "another port than --address"),
        (["--transport=pigeon"], "'pigeon' is not one of 'shm', 'direct', 'grpc'"),
        (["--transport=direct"], "give --direct ADDRESS and --transport direct"),
        (
            ["--transport=shm", "--direct=127.0.0.1:0"],
            "give --direct ADDRESS and --transport direct",
        ),
        (["--validation=lenient"], "'lenient' is not one of"),
        (["--nan=keep"], "'keep' is not one of 'reject', 'deliver'"),
        (["--idle-timeout-seconds=-1"], "is not between 0 and 1000000000 seconds"),
        (["--drain-timeout-seconds=nan"], "is not between 0 and 1000000000 seconds"),
        (["--close-timeout-seconds=soon"], "'soon' is not a valid float"),
        (["--no-such-option"], "No such option"),
    ],
)
def test_wrong_usage_exits_2_before_anything_is_loaded(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(main, ["serve", NO_ENV, *arguments])
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("RLMESH_ADDRESS", "nonsense", "RLMESH_ADDRESS: 'nonsense' is no address"),
        ("RLMESH_PORT", "65536", "RLMESH_PORT='65536': "),
        ("RLMESH_PORT", "http", "RLMESH_PORT='http': "),
        ("RLMESH_VALIDATION_POLICY", "lenient", "'lenient' is not one of"),
    ],
)
def test_a_bad_environment_variable_is_wrong_usage(variable: str, value: str, message: str) -> None:
    result = CliRunner().invoke(main, ["serve", NO_ENV], env={variable: value})
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


@pytest.mark.parametrize("arguments", [[], ["serve"], ["no-such-command"]])
def test_a_missing_or_unknown_command_is_wrong_usage(arguments: list[str]) -> None:
    assert CliRunner().invoke(main, arguments).exit_code == 2


def test_serve_env_needs_its_environment() -> None:
    ended = run(program=SERVE_ENV)
    assert ended.code == 2
    assert "--env" in ended.err
