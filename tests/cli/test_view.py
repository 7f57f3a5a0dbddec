"""`view` and `play` show a page for a browser."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import sys

import gymnasium
import pytest
from click.testing import CliRunner, Result

import rlmesh.view
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


def test_a_view_leaves_processors_to_others_and_play_does_not() -> None:
    mine = os.getpriority(os.PRIO_PROCESS, 0)
    for name, lower in (("view", True), ("play", False)):
        with (
            serving(gymnasium.make("CartPole-v1")) as server,
            command(name, server.address, "--listen=127.0.0.1:0") as process,
        ):
            url = process.line().removeprefix("the view is at ").strip()
            with Browser(url) as browser:
                browser.next()
                theirs = os.getpriority(os.PRIO_PROCESS, process.pid)
        assert theirs == (min(mine + 5, 19) if lower else mine)


@pytest.mark.parametrize("name", ["view", "play"])
def test_without_the_packages_an_error_on_one_line_says_what_to_install(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Importing it raises from now on, and what shows the page is not imported yet.
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "rlmesh.view.serving", raising=False)
    monkeypatch.delattr(rlmesh.view, "serving", raising=False)
    with serving(gymnasium.make("CartPole-v1")) as server:
        result = invoke(name, server.address, "--listen=127.0.0.1:0")
    assert result.exit_code == 1
    message = " ".join(result.stderr.split())
    assert "needs uvicorn, which is not installed; run `pip install 'rlmesh[view]'`" in message


@pytest.mark.parametrize(
    ("option", "missing", "extra"),
    [("--view", "uvicorn", "view"), ("--metrics", "prometheus_client", "metrics")],
)
def test_serve_says_what_an_option_needs(
    option: str,
    missing: str,
    extra: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, package=None: None if name == missing else find(name, package),
    )
    result = invoke("serve", "CartPole-v1", "--address=tcp://127.0.0.1:0", f"{option}=127.0.0.1:0")
    assert result.exit_code == 1
    assert f"pip install 'rlmesh[{extra}]'" in " ".join(capfd.readouterr().err.split())


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
