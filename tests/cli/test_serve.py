"""`serve`: what it serves, where, and how its options reach the server."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Generator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import rlmesh
from rlmesh.client.probing import wait_until_serving
from support.processes import CONSOLE_SCRIPT, command, connected, served


@contextlib.contextmanager
def vector_connected(*arguments: str) -> Generator[rlmesh.RemoteVectorEnv[Any, Any]]:
    """A vector client of `serve_env` with these arguments."""
    with (
        served(*arguments) as (_, address),
        contextlib.closing(rlmesh.RemoteVectorEnv[Any, Any](address)) as env,
    ):
        yield env


def test_one_line_names_the_environment_and_the_address() -> None:
    with command("serve", "CartPole-v1") as server:
        line = server.line()
        found = re.fullmatch(
            r"CartPole-v1 is served at (tcp://127\.0\.0\.1:\d+); Ctrl-C ends it\.", line
        )
        assert found, line
        with contextlib.closing(rlmesh.RemoteEnv[Any, Any](found[1])) as env:
            observation, _ = env.reset(seed=1)
    assert observation.shape == (4,)


def test_letters_that_the_output_cannot_write_are_spelled_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    with command("serve", "CartPole-v1", f"--address=unix://{tmp_path}/\u00fc.sock") as server:
        assert "\\xfc.sock" in server.line()


def test_the_environment_is_called_on_the_main_thread() -> None:
    with connected("--env=support.cli_envs:Counter") as (_, env):
        assert env.reset()[1] == {"thread": True}


def test_a_callable_inside_of_a_class_is_found() -> None:
    with connected("--env=support.cli_envs:Factories.counter") as (_, env):
        assert env.reset()[0] == 0


def test_keyword_arguments_and_the_render_mode_reach_the_environment() -> None:
    options = ['--kwargs-json={"map_name": "8x8"}', "--render-mode=ansi"]
    with connected("--env=FrozenLake-v1", *options) as (_, env):
        assert env.observation_space == gymnasium.spaces.Discrete(64)
        env.reset()
        assert isinstance(env.render(), str)


def test_nan_is_delivered_where_the_option_says_so() -> None:
    with connected("--env=support.cli_envs:Padded", "--nan=deliver") as (_, env):
        assert env.env_contract.delivers_nan
        assert np.isnan(env.reset()[0]).all()


def test_an_imported_package_registers_its_environments() -> None:
    with connected("--env=Endless-v0", "--import=support.cli_envs") as (_, env):
        assert env.env_contract.id == "Endless-v0"


def test_an_id_with_its_package() -> None:
    with connected("--env=support.cli_envs:Endless-v0") as (_, env):
        assert env.env_contract.id == "Endless-v0"


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("env", ["CartPole-v1", "support.cli_envs:Counter"])
def test_sub_envs_of_an_id_and_of_a_callable(env: str, mode: str) -> None:
    with vector_connected(f"--env={env}", "--num-envs=3", f"--vectorization-mode={mode}") as envs:
        envs.reset(seed=0)
        _, rewards, *_ = envs.step(np.ones(3, np.int64))
        np.testing.assert_array_equal(rewards, [1.0, 1.0, 1.0])


@pytest.mark.parametrize("env", ["CartPole-v1", "support.cli_envs:Counter"])
def test_workers_run_the_sub_envs_of_an_id_and_of_a_callable(env: str) -> None:
    options = f"--env={env}", "--num-envs=3", "--workers=2", "--on-crash=replace"
    with vector_connected(*options) as envs:
        envs.reset(seed=0)
        _, rewards, *_ = envs.step(np.ones(3, np.int64))
        np.testing.assert_array_equal(rewards, [1.0, 1.0, 1.0])


def test_one_sub_env_is_a_vector_environment() -> None:
    with vector_connected("--env=CartPole-v1", "--num-envs=1") as envs:
        assert envs.num_envs == 1


def test_the_console_script_finds_a_callable_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_envs.py").write_text("from support.cli_envs import Counter as make\n")
    monkeypatch.chdir(tmp_path)
    with served("serve", "my_envs:make", program=CONSOLE_SCRIPT) as (_, address):
        wait_until_serving(address, 20)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def test_rlmesh_address_says_where_to_serve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLMESH_ADDRESS", f"unix://{tmp_path}/env.sock")
    with served("--env=CartPole-v1") as (_, address):
        assert address == f"unix://{tmp_path}/env.sock"


def test_rlmesh_port_is_a_port_of_the_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setenv("RLMESH_PORT", str(port))
    with served("--env=CartPole-v1") as (_, address):
        assert address == f"tcp://127.0.0.1:{port}"


def test_rlmesh_address_goes_before_rlmesh_port(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLMESH_ADDRESS", f"unix://{tmp_path}/env.sock")
    monkeypatch.setenv("RLMESH_PORT", "1")
    with served("--env=CartPole-v1") as (_, address):
        assert address == f"unix://{tmp_path}/env.sock"


def test_the_option_goes_before_the_environment_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLMESH_ADDRESS", "unix:///nowhere/env.sock")
    monkeypatch.setenv("RLMESH_PORT", "1")
    with served("--env=CartPole-v1", f"--address=unix://{tmp_path}/env.sock") as (_, address):
        assert address == f"unix://{tmp_path}/env.sock"


@pytest.mark.parametrize(
    ("options", "given"),
    [
        ((), "shm"),
        (("--transport=grpc",), "grpc"),
        (("--transport=shm", "--transport=grpc"), "shm"),
        (("--direct=127.0.0.1:0",), "shm"),
        (("--direct=127.0.0.1:0", "--transport=direct"), "direct"),
    ],
)
def test_clients_get_the_fastest_transport_that_the_options_allow(
    options: tuple[str, ...], given: str
) -> None:
    with connected("--env=CartPole-v1", *options) as (_, env):
        assert env.transport == given
        env.reset(seed=0)


def test_the_direct_transport_is_had_at_its_own_port() -> None:
    port = free_port()
    with served("--env=CartPole-v1", f"--direct={port}") as (_, address):
        assert address != f"tcp://127.0.0.1:{port}"
        socket.create_connection(("127.0.0.1", port), timeout=20).close()
        with contextlib.closing(rlmesh.RemoteEnv[Any, Any](address, transport="direct")) as env:
            assert env.transport == "direct"


def test_the_direct_transport_may_be_open_to_other_machines_where_that_is_asked_for() -> None:
    options = ["--address=0.0.0.0:0", "--direct=0.0.0.0:0", "--insecure"]
    with served("--env=CartPole-v1", *options) as (_, address):
        here = f"tcp://127.0.0.1:{address.rpartition(':')[2]}"
        with contextlib.closing(rlmesh.RemoteEnv[Any, Any](here, transport="direct")) as env:
            assert env.transport == "direct"


def test_empty_variables_say_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLMESH_ADDRESS", "")
    monkeypatch.setenv("RLMESH_PORT", "")
    with served("--env=CartPole-v1") as (_, address):
        assert address.startswith("tcp://127.0.0.1:")


def test_so_many_clients_as_the_option_says_have_an_environment_each() -> None:
    with (
        served("--env=support.cli_envs:Counter", "--sessions=2") as (_, address),
        contextlib.closing(rlmesh.RemoteEnv[Any, Any](address)) as first,
        contextlib.closing(rlmesh.RemoteEnv[Any, Any](address)) as second,
    ):
        assert first.reset()[0] == second.reset()[0] == 0
        with pytest.raises(rlmesh.errors.EndpointBusyError):
            rlmesh.RemoteEnv[Any, Any](address)
