"""`contract`, `status` and `wait`, on a served environment and on none."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from click.testing import CliRunner, Result

import rlmesh
from rlmesh._cli.main import main
from support.cli_envs import Gated
from support.processes import run
from support.serving import serving


@pytest.fixture
def server() -> Generator[rlmesh.EnvServer]:
    with serving(gymnasium.make("CartPole-v1")) as started:
        yield started


@pytest.fixture
def nobody(tmp_path: Path) -> str:
    """An address where nobody serves."""
    return f"unix://{tmp_path}/nobody.sock"


def invoke(*arguments: str, **variables: str) -> Result:
    return CliRunner().invoke(main, arguments, env=variables)


def test_the_contract_as_a_table(server: rlmesh.EnvServer) -> None:
    result = invoke("contract", server.address)
    assert result.exit_code == 0
    for part in ("CartPole-v1", server.address, "observation", "Box", "float32", "Discrete"):
        assert part in result.stdout
    assert "\x1b" not in result.stdout


def test_the_contract_of_sub_envs_as_a_table() -> None:
    with serving(gymnasium.make_vec("CartPole-v1", 3, vectorization_mode="sync")) as server:
        result = invoke("contract", server.address)
    assert "observation of a sub-environment" in result.stdout
    assert "next step" in result.stdout


def test_the_contract_as_json_is_the_whole_contract(server: rlmesh.EnvServer) -> None:
    result = invoke("contract", server.address, "--json")
    assert result.exit_code == 0
    assert rlmesh.EnvContract.from_dict(json.loads(result.stdout)) == server.env_contract


def test_the_status_of_a_server_that_nobody_holds(server: rlmesh.EnvServer) -> None:
    result = invoke("status", server.address)
    assert result.exit_code == 0
    assert "ready" in result.stdout
    assert "nobody" in result.stdout


def test_the_status_tells_who_holds_the_environment(server: rlmesh.EnvServer) -> None:
    with contextlib.closing(rlmesh.RemoteEnv[Any, Any](server.address)):
        told = json.loads(invoke("status", server.address, "--json").stdout)
        shown = invoke("status", server.address).stdout
    assert told["state"] == "ready"
    assert told["holder"]["pid"] == os.getpid()
    assert told["holder"]["seconds"] >= 0
    assert f"pid {os.getpid()}" in shown


def test_the_status_tells_the_call_that_the_environment_is_in(tmp_path: Path) -> None:
    began, go = tmp_path / "began", tmp_path / "go"
    os.mkfifo(began)
    os.mkfifo(go)
    with (
        serving(Gated(str(began), str(go))) as server,
        contextlib.closing(rlmesh.RemoteEnv[Any, Any](server.address)) as env,
        ThreadPoolExecutor(1) as pool,
    ):
        env.reset()
        answer = pool.submit(env.step, 0)
        began.read_text()
        told = json.loads(invoke("status", server.address, "--json").stdout)
        shown = invoke("status", server.address).stdout
        go.write_text("go\n")
        answer.result(timeout=20)
    assert (told["state"], told["call"]) == ("busy", "step")
    assert told["busy_seconds"] >= 0
    assert "in step" in told["stack"]
    assert "step, number" in shown
    assert "cli_envs.py" in shown


@pytest.mark.parametrize("command", ["contract", "status"])
def test_nobody_at_the_address_is_one_line_and_exit_code_1(command: str, nobody: str) -> None:
    ended = run(command, nobody)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith(f"Error: no server answers at {nobody}")
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize("command", ["contract", "status"])
def test_somebody_else_at_the_address_is_exit_code_1(command: str, tmp_path: Path) -> None:
    path = str(tmp_path / "silent.sock")
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(path)
        silent.listen()
        result = invoke(command, f"unix://{path}", "--timeout=0.2")
    assert result.exit_code == 1
    assert "no server answers" in result.stderr


@pytest.mark.parametrize("command", ["contract", "status", "wait"])
def test_the_address_may_come_from_the_environment(command: str, server: rlmesh.EnvServer) -> None:
    port = server.address.rpartition(":")[2]
    assert invoke(command, RLMESH_ADDRESS=server.address).exit_code == 0
    assert invoke(command, RLMESH_PORT=port).exit_code == 0
    both = invoke(command, server.address, RLMESH_ADDRESS="unix:///nowhere", RLMESH_PORT="1")
    assert both.exit_code == 0


@pytest.mark.parametrize("command", ["contract", "status", "wait"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "RLMESH_ADDRESS"),
        (["nonsense"], "'nonsense' is no address"),
        (["127.0.0.1:0"], "port 0"),
        (["127.0.0.1:5", "--timeout=-1"], "is not between 0 and 1000000000 seconds"),
    ],
)
def test_wrong_usage_exits_2(command: str, arguments: list[str], message: str) -> None:
    result = invoke(command, *arguments, RLMESH_ADDRESS="", RLMESH_PORT="")
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


def test_wait_returns_when_the_server_serves(server: rlmesh.EnvServer) -> None:
    result = invoke("wait", server.address)
    assert (result.exit_code, result.output) == (0, "")


def test_wait_gives_up_in_time_where_nobody_is(nobody: str) -> None:
    result = invoke("wait", nobody, "--timeout=0.1")
    assert result.exit_code == 1
    assert result.stderr.startswith(
        f"Error: {nobody} does not serve within 0.1 s: no server answers"
    )


def test_wait_takes_a_server_that_is_bound_and_not_started_for_none() -> None:
    server = rlmesh.EnvServer(gymnasium.make("CartPole-v1"))
    try:
        assert invoke("wait", server.address, "--timeout=0.1").exit_code == 1
        server.start()
        assert invoke("wait", server.address, "--timeout=20").exit_code == 0
    finally:
        server.shutdown()
    assert invoke("wait", server.address, "--timeout=0.1").exit_code == 1
