"""`view` and `play` show a page for a browser."""

from __future__ import annotations

import signal
import socket

import gymnasium
import pytest
from click.testing import CliRunner, Result

from rlmesh._cli.main import main
from support.processes import command
from support.serving import serving
from support.viewing import Browser


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_view_says_where_it_is_and_a_signal_ends_it(number: signal.Signals) -> None:
    name = "view" if number is signal.SIGTERM else "play"
    with (
        serving(gymnasium.make("CartPole-v1")) as server,
        command(name, server.address, "--listen=127.0.0.1:0") as process,
    ):
        url = process.line().removeprefix("the view is at ").strip()
        with Browser(url) as browser:
            browser.until(lambda found: found[0]["up"] and found[0]["contracts"])
            process.send(number)
            ended = process.end()
        assert ended.code == 0, ended.err


def test_a_port_that_is_taken_is_an_error_on_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = invoke("view", "5", f"--listen=127.0.0.1:{taken.getsockname()[1]}")
    assert result.exit_code == 1
    assert "is in use by another program" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["view"], "RLMESH_ADDRESS"),
        (["view", "127.0.0.1:5", "--listen=0.0.0.0:0"], "everybody who reaches it would see"),
        (["view", "127.0.0.1:5", "--render=61"], "--render"),
        (["play", "127.0.0.1:5", "--listen=0.0.0.0:0"], "everybody who reaches it would see"),
        (["play", "127.0.0.1:5", "--fps=0"], "--fps"),
    ],
)
def test_wrong_usage_is_exit_code_2(arguments: list[str], message: str) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


def test_serve_shows_what_it_serves_to_browsers() -> None:
    arguments = ("serve", "CartPole-v1", "--address=tcp://127.0.0.1:0", "--view=127.0.0.1:0")
    with command(*arguments) as process:
        line = process.line()
        url = line.partition("for browsers, at ")[2].partition(";")[0]
        with Browser(url) as browser:
            browser.until(lambda found: found[0]["up"] and found[0]["contracts"])
        process.send(signal.SIGTERM)
        assert process.end().code == 0
