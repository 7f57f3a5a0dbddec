"""`top` shows what servers are doing, again and again."""

from __future__ import annotations

import io
import re
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from click.testing import CliRunner, Result
from rich.console import Console

import rlmesh
from rlmesh._cli.main import main
from rlmesh._cli.top import Look, look_at, top_view
from rlmesh.security import ANYBODY
from support.models import OfMany, observation, working
from support.processes import command
from support.serving import serving


def invoke(*arguments: str, **variables: str) -> Result:
    return CliRunner().invoke(main, ["top", *arguments], env=variables)


def table(looks: list[Look], before: list[Look]) -> list[str]:
    console = Console(file=io.StringIO(), width=1000)
    with console.capture() as shown:
        console.print(top_view(looks, {look.address: look for look in before}))
    return shown.get().splitlines()


def test_each_session_is_a_row_and_its_calls_are_counted() -> None:
    with (
        serving(lambda: gymnasium.make("CartPole-v1"), sessions=2) as server,
        rlmesh.RemoteEnv[Any, Any](server.address) as one,
        rlmesh.RemoteEnv[Any, Any](server.address) as two,
    ):
        one.reset(seed=0)
        two.reset(seed=0)
        [before] = look_at([server.address], 60.0, ANYBODY)
        for _ in range(6):
            one.reset()
        [after] = look_at([server.address], 60.0, ANYBODY)
        first = table([before], [])
        second = table([replace(after, at=before.at + 2.0)], [before])
        assert first[0].split()[:3] == ["SERVER", "STATE", "SESSION"]
        assert [server.address in line for line in first[1:]] == [True, False]
        assert re.search(r" idle +[\d.]+ +1 +0 +0 *$", first[1])
        assert re.search(r" idle +[\d.]+ +3\.0 +7 +0 +0 *$", second[1])
        assert re.search(r" idle +[\d.]+ +0\.0 +1 +0 +0 *$", second[2])


def test_a_server_that_is_down_has_a_row_with_the_reason_until_it_is_back(tmp_path: Path) -> None:
    address = f"unix://{tmp_path}/env.sock"
    result = invoke(address, "--count=1")
    assert result.exit_code == 1
    assert re.search(rf"{address} +down +no server answers at {address}", result.stdout)
    with serving(gymnasium.make("CartPole-v1"), address):
        result = invoke(address, "--count=1")
    assert result.exit_code == 0
    assert re.search(rf"{address} +ready +none of 1", result.stdout)


def test_a_model_has_a_row_with_its_version_and_its_queue() -> None:
    with working(OfMany()) as worker, rlmesh.RemoteModel(worker.address) as model:
        model.predict(observation())
        result = invoke(worker.address, "--count=1")
        [name] = worker.model_contracts
    assert re.search(rf"{re.escape(name)} version 1 +0 wait", result.stdout)


def test_an_address_is_asked_once_and_may_come_from_the_environment() -> None:
    with serving(gymnasium.make("CartPole-v1")) as server:
        result = invoke(server.address, server.address, "--count=1")
        assert result.stdout.count(server.address) == 1
        assert invoke("--count=1", RLMESH_ADDRESS=server.address).stdout == result.stdout
        [look] = look_at([server.address], 60.0, ANYBODY)
        assert look.status is not None
        assert not look.error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "RLMESH_ADDRESS"),
        (["nonsense"], "'nonsense' is no address"),
        (["127.0.0.1:0"], "port 0 lets a server choose"),
        (["1", "--count=0"], "--count"),
        (["1", "--interval=-1"], "is not between 0"),
    ],
)
def test_wrong_usage_is_exit_code_2(arguments: list[str], message: str) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_ctrl_c_ends_it(tmp_path: Path) -> None:
    with command("top", f"unix://{tmp_path}/nobody.sock", "--interval=600") as process:
        assert "SERVER" in process.line()
        process.send(signal.SIGINT)
        ended = process.end()
    assert (ended.code, ended.err) == (0, "")
