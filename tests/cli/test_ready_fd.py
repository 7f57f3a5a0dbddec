"""`--ready-fd`: one line with the address when the server serves, then the end of the file."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest

from rlmesh._cli import serve_env
from rlmesh.address import parse_address
from support.processes import RLMESH, SERVE_ENV, Command, command, pipe, run, served
from support.readiness import wait_until_serving

ENVS = {
    "sync": ["--env=CartPole-v1", "--num-envs=2", "--vectorization-mode=sync"],
    "async": ["--env=CartPole-v1", "--num-envs=2", "--vectorization-mode=async"],
}


@pytest.fixture(params=["tcp", "unix"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "tcp://127.0.0.1:0" if request.param == "tcp" else f"unix://{tmp_path}/env.sock"


@pytest.fixture(params=ENVS)
def env(request: pytest.FixtureRequest) -> list[str]:
    return ENVS[request.param]


def check(line: str, asked: str, server: Command) -> None:
    """The line is the resolved address, and the server behind it serves already."""
    assert line.endswith("\n")
    resolved = line.rstrip("\n")
    assert resolved == asked or (asked.endswith(":0") and resolved.startswith(asked[:-1]))
    assert not resolved.endswith(":0")
    # One question is asked, and the answer must be SERVING.
    wait_until_serving(parse_address(resolved).dial_target)
    assert server.process.poll() is None


def test_a_pipe_gets_the_address_and_ends_while_the_workers_live(
    address: str, env: list[str]
) -> None:
    with pipe() as (reader, writer):
        fd = writer.fileno()
        arguments = [*env, f"--address={address}", f"--ready-fd={fd}"]
        with command(*arguments, program=SERVE_ENV, pass_fds=[fd]) as server:
            writer.close()
            check(reader.readall().decode(), address, server)


def test_a_fifo_gets_the_address_and_ends_while_the_workers_live(
    address: str, env: list[str], tmp_path: Path
) -> None:
    fifo = tmp_path / "ready"
    os.mkfifo(fifo)
    # Without a writer yet, opening must not wait for one; reading must.
    with open(os.open(fifo, os.O_RDONLY | os.O_NONBLOCK), "rb") as reader:
        os.set_blocking(reader.fileno(), True)
        with fifo.open("wb", buffering=0) as writer:
            fd = writer.fileno()
            arguments = [*env, f"--address={address}", f"--ready-fd={fd}"]
            with command(*arguments, program=SERVE_ENV, pass_fds=[fd]) as server:
                writer.close()
                check(reader.read().decode(), address, server)


def test_a_file_holds_the_address_once_the_server_says_that_it_serves(
    address: str, env: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "ready"
    with path.open("wb") as writer:
        fd = writer.fileno()
        arguments = [*env, f"--address={address}", f"--ready-fd={fd}"]
        with command(*arguments, program=SERVE_ENV, pass_fds=[fd]) as server:
            said = server.line()
            check(path.read_text(), address, server)
    assert path.read_text().strip() in said


def test_the_descriptor_closes_without_a_line_when_the_environment_cannot_be_made() -> None:
    with pipe() as (reader, writer):
        fd = writer.fileno()
        arguments = ["--env=support.cli_envs:Raising", f"--ready-fd={fd}"]
        with command(*arguments, program=SERVE_ENV, pass_fds=[fd]) as server:
            writer.close()
            assert reader.readall() == b""
            assert server.end().code == 1


def test_a_reader_that_is_gone_ends_the_server(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    with pipe() as (reader, writer):
        reader.close()
        fd = writer.fileno()
        ended = run(
            "--env=support.cli_envs:Counter",
            f'--kwargs-json={{"closed_file": "{closed}"}}',
            f"--ready-fd={fd}",
            program=SERVE_ENV,
            pass_fds=[fd],
        )
    assert ended.code == 1
    assert ended.err.count("\n") == 1
    assert "ready descriptor" in ended.err
    assert closed.read_text() == "closed\n"


def test_serve_takes_the_descriptor_too() -> None:
    with served("serve", "CartPole-v1", program=RLMESH) as (_, address):
        wait_until_serving(parse_address(address).dial_target)


@pytest.fixture
def read_only(tmp_path: Path) -> Generator[int]:
    path = tmp_path / "file"
    path.touch()
    with path.open("rb") as file:
        yield file.fileno()


def refused(fd: int, *, passed: bool = False) -> str:
    """What the command line says of a descriptor; the environment would be refused with code 1."""
    ended = run(
        "--env=NoSuchEnv-v0", f"--ready-fd={fd}", program=SERVE_ENV, pass_fds=[fd] if passed else []
    )
    assert ended.code == 2
    return ended.err


def test_a_descriptor_that_is_not_open_is_refused_before_the_environment_is_made() -> None:
    assert "77 is not open in this process" in refused(77)


def test_a_descriptor_that_is_read_only_is_refused_before_the_environment_is_made(
    read_only: int,
) -> None:
    assert "open for reading only" in refused(read_only, passed=True)


@pytest.mark.parametrize("fd", [0, 1, 2])
def test_a_standard_stream_is_refused(fd: int) -> None:
    assert f"{fd} is a standard stream" in refused(fd)


@pytest.mark.parametrize("fd", [-1, 2**31, 2**80])
def test_a_number_that_no_descriptor_has_is_refused(fd: int) -> None:
    assert f"{fd} is not open in this process" in refused(fd)


def test_write_ready_fd_writes_one_line_and_closes() -> None:
    with pipe() as (reader, writer):
        serve_env.write_ready_fd(os.dup(writer.fileno()), "tcp://127.0.0.1:5555")
        writer.close()
        assert reader.readall() == b"tcp://127.0.0.1:5555\n"


def test_write_ready_fd_closes_a_descriptor_that_cannot_be_written_on() -> None:
    with pipe() as (reader, writer):
        reader.close()
        fd = os.dup(writer.fileno())
        with pytest.raises(BrokenPipeError):
            serve_env.write_ready_fd(fd, "tcp://127.0.0.1:5555")
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)
