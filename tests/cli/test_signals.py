"""SIGINT and SIGTERM in every phase: the environment is closed and the exit code is 0."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

import rlmesh
from rlmesh.address import parse_address
from rlmesh.client.probing import fetch_status
from support.processes import command, connected, served
from support.serving import start_python

# By the signal, or in the way a shell tells of it.
KILLED = {-signal.SIGTERM, 128 + signal.SIGTERM}
BOTH = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)


@dataclass(frozen=True)
class Files:
    """Where an environment leaves its traces.

    Attributes:
        closed: The file that notes that it was closed.
        began: The FIFO that tells that a step, or the loading, has begun.
        go: The FIFO that lets a step go on.
    """

    closed: Path
    began: Path
    go: Path

    def options(self, name: str, *names: str) -> list[str]:
        kwargs = {"closed_file": str(self.closed)} | {n: str(getattr(self, n)) for n in names}
        return [f"--env=support.cli_envs:{name}", f"--kwargs-json={json.dumps(kwargs)}"]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    found = Files(tmp_path / "closed", tmp_path / "began", tmp_path / "go")
    os.mkfifo(found.began)
    os.mkfifo(found.go)
    return found


@BOTH
def test_while_the_environment_is_loading(number: signal.Signals, files: Files) -> None:
    kwargs = json.dumps({"loading": str(files.began)})
    with command("serve", "support.cli_envs:SlowToLoad", f"--kwargs-json={kwargs}") as server:
        assert files.began.read_text() == "loading\n"
        server.send(number)
        ended = server.end()
    assert (ended.code, ended.out, ended.err) == (0, "", "")


def test_while_the_environment_is_loading_in_a_process_of_its_own(files: Files) -> None:
    arguments = [
        f"--kwargs-json={json.dumps({'loading': str(files.began)})}",
        "--isolation=process",
    ]
    with command("serve", "support.cli_envs:SlowToLoad", *arguments) as server:
        assert files.began.read_text() == "loading\n"
        server.send_to_group(signal.SIGINT)
        ended = server.end()
    assert (ended.code, ended.out, ended.err) == (0, "", "")


@BOTH
def test_while_the_environment_is_loading_in_c_code(number: signal.Signals, files: Files) -> None:
    kwargs = json.dumps({"loading": str(files.began)})
    with command("serve", "support.cli_envs:StubbornToLoad", f"--kwargs-json={kwargs}") as server:
        assert files.began.read_text() == "loading\n"
        server.send(number)
        ended = server.end()
    assert (ended.code, ended.out, ended.err) == (0, "", "")


@BOTH
def test_when_nobody_is_there(number: signal.Signals, files: Files) -> None:
    with served(*files.options("Counter")) as (server, _):
        server.send(number)
        ended = server.end()
    assert (ended.code, ended.err) == (0, "")
    assert files.closed.read_text() == "closed\n"


@BOTH
def test_with_an_idle_client(number: signal.Signals, files: Files) -> None:
    with connected(*files.options("Counter")) as (server, env):
        env.reset(seed=0)
        server.send(number)
        ended = server.end()
        with pytest.raises(rlmesh.errors.EndpointError):
            env.step(0)
    assert (ended.code, ended.err) == (0, "")
    assert files.closed.read_text() == "closed\n"


@contextlib.contextmanager
def in_a_step(address: str, files: Files) -> Generator[Future[Any]]:
    """A client whose step has begun and waits for `go`; gives the future of its answer."""
    with (
        contextlib.closing(rlmesh.RemoteEnv[Any, Any](address)) as env,
        ThreadPoolExecutor(1) as pool,
    ):
        env.reset(seed=0)
        answer = pool.submit(env.step, 0)
        assert files.began.read_text() == "in a step\n"
        yield answer


def wait_until_draining(address: str) -> None:
    with grpc.insecure_channel(parse_address(address).dial_target) as channel:
        watch = channel.unary_stream(
            "/grpc.health.v1.Health/Watch",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        for answer in watch(health_pb2.HealthCheckRequest(), timeout=20):
            if answer.status == health_pb2.HealthCheckResponse.NOT_SERVING:
                return


@BOTH
def test_in_a_call_which_finishes_first(number: signal.Signals, files: Files) -> None:
    options = files.options("Gated", "began", "go")
    with served(*options) as (server, address), in_a_step(address, files) as answer:
        server.send(number)
        wait_until_draining(address)
        assert fetch_status(address, 10).state == "draining"
        files.go.write_text("go\n")
        observation, *_ = answer.result(timeout=20)
        assert observation == 1
        ended = server.end()
    assert (ended.code, ended.err) == (0, "")
    assert files.closed.read_text() == "closed\n"


def test_a_second_signal_ends_a_server_whose_environment_is_stuck(files: Files) -> None:
    options = files.options("Gated", "began", "go")
    with served(*options) as (server, address), in_a_step(address, files) as answer:
        server.send(signal.SIGTERM)
        assert server.send_until_end(signal.SIGTERM) in KILLED
        with pytest.raises(rlmesh.errors.ConnectionLostError):
            answer.result(timeout=20)


def test_a_server_whose_environment_is_in_c_code_drains_at_once(files: Files) -> None:
    kwargs = json.dumps({"began": str(files.began)})
    options = ["--env=support.cli_envs:BusyInC", f"--kwargs-json={kwargs}"]
    with served(*options) as (server, address), in_a_step(address, files) as answer:
        server.send(signal.SIGTERM)
        wait_until_draining(address)
        assert fetch_status(address, 10).call == "step"
        assert server.send_until_end(signal.SIGTERM) in KILLED
        with pytest.raises(rlmesh.errors.ConnectionLostError):
            answer.result(timeout=20)


def test_a_drain_timeout_ends_a_server_whose_environment_is_in_c_code(files: Files) -> None:
    kwargs = json.dumps({"began": str(files.began)})
    options = ["--env=support.cli_envs:BusyInC", f"--kwargs-json={kwargs}"]
    with (
        served(*options, "--drain-timeout-seconds=0.1") as (server, address),
        in_a_step(address, files) as answer,
    ):
        server.send(signal.SIGTERM)
        ended = server.end()
        with pytest.raises(rlmesh.RlmeshError):
            answer.result(timeout=20)
    assert ended.code == 1
    assert ended.err.endswith("Error: the environment did not return, and was not closed.\n")


@pytest.mark.parametrize("isolation", [[], ["--isolation=process"]], ids=["here", "isolated"])
def test_ctrl_c_in_a_terminal_leaves_the_workers_to_the_environment(isolation: list[str]) -> None:
    options = ["--env=CartPole-v1", "--num-envs=2", "--vectorization-mode=async", *isolation]
    with served(*options) as (server, address):
        with contextlib.closing(rlmesh.RemoteVectorEnv[Any, Any](address)) as env:
            env.reset(seed=0)
        server.send_to_group(signal.SIGINT)
        ended = server.end()
    assert (ended.code, ended.err) == (0, "")


def test_with_an_environment_in_a_process_of_its_own(files: Files) -> None:
    with connected(*files.options("Counter"), "--isolation=process") as (server, env):
        env.reset(seed=0)
        server.send_to_group(signal.SIGTERM)
        ended = server.end()
    assert (ended.code, ended.err) == (0, "")
    assert files.closed.read_text() == "closed\n"


def test_between_the_steps_of_a_busy_client(files: Files) -> None:
    stepped = threading.Event()

    def step_on(env: rlmesh.RemoteEnv[Any, Any]) -> None:
        with contextlib.suppress(rlmesh.errors.EndpointError):
            while True:
                env.step(0)
                stepped.set()

    with (
        connected(*files.options("Counter")) as (server, env),
        ThreadPoolExecutor(1) as pool,
    ):
        env.reset(seed=0)
        stepping = pool.submit(step_on, env)
        assert stepped.wait(20)
        server.send(signal.SIGTERM)
        ended = server.end()
        stepping.result(timeout=20)
    assert ended.code == 0
    assert files.closed.read_text() == "closed\n"


def test_a_wish_that_is_told_twice_is_one_wish(files: Files) -> None:
    options = files.options("Gated", "began", "go")
    with served(*options) as (server, address), in_a_step(address, files) as answer:
        # As `timeout` does: the process first, then its group.
        server.send(signal.SIGTERM)
        server.send_to_group(signal.SIGTERM)
        wait_until_draining(address)
        files.go.write_text("go\n")
        answer.result(timeout=20)
        ended = server.end()
    assert ended.code == 0
    assert files.closed.read_text() == "closed\n"


def test_a_command_knows_how_its_children_end_whatever_its_parent_ignores() -> None:
    program = """
import signal, subprocess, sys
from rlmesh._cli.signals import wait_for_children
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
wait_for_children()
print(subprocess.run(["sh", "-c", "kill -9 $$"]).returncode)
"""
    with start_python(["-c", program], stdout=subprocess.PIPE) as process:
        out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "-9\n")
