"""How long a side may leave the pings of the other one unanswered."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import threading
from collections.abc import Generator
from typing import Any

import pytest

import rlmesh
from rlmesh.address import parse_address
from rlmesh.transports.grpc import options
from support.repository import ROOT
from support.sample_envs import ScriptedEnv
from support.serving import serving, start_python
from support.watching import status_of, status_when

CLIENT = """
import sys
import rlmesh
env = rlmesh.RemoteEnv(sys.argv[1], transport="grpc")
env.reset(seed=0)
print("reset", flush=True)
sys.stdin.readline()
env.step(env.action_space.sample())
print("stepped", flush=True)
sys.stdin.readline()
"""
# What the servers of RLMesh waited once: too short for a policy, a debugger, a paused container.
SHORT_SECONDS = 5.0


@contextlib.contextmanager
def client_of(address: str) -> Generator[subprocess.Popen[str]]:
    """A client in a process of its own, after its reset; it steps when it reads a line."""
    with start_python(
        ["-W", "error", "-c", CLIENT, address], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "reset\n"
            yield process
        finally:
            process.kill()


def step(process: subprocess.Popen[str]) -> str:
    """Has the client step; what it says of it."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return process.stdout.readline()


def test_a_client_that_is_stopped_for_longer_than_a_few_seconds_keeps_its_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(options, "PING_SECONDS", 0.3)
    env = ScriptedEnv()
    with serving(env) as server, client_of(server.address) as client:
        client.send_signal(signal.SIGSTOP)
        # The stop is what is tested, so nothing else ends this wait.
        threading.Event().wait(SHORT_SECONDS + 2)
        (session,) = status_of(server.address).sessions
        assert not session.holder.HasField("lost_seconds")
        client.send_signal(signal.SIGCONT)
        assert step(client) == "stepped\n"
    assert env.names()[:2] == ["reset", "step"]


def test_a_client_that_is_stopped_for_too_long_loses_its_connection_and_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(options, "PING_SECONDS", 0.3)
    monkeypatch.setattr(options, "CLIENT_PONG_SECONDS", 0.3)
    env, keeps = ScriptedEnv(), rlmesh.ServeOptions(resume_timeout_seconds=3600)
    with serving(env, options=keeps) as server, client_of(server.address) as client:
        client.send_signal(signal.SIGSTOP)
        status_when(server.address, lambda told: told.holder.HasField("lost_seconds"))
        client.send_signal(signal.SIGCONT)
        assert step(client) == "stepped\n"
    assert env.names()[:2] == ["reset", "step"]


def test_each_side_waits_as_long_as_the_pages_say() -> None:
    server: dict[str, Any] = dict(options.server_options())
    client: dict[str, Any] = dict(options.channel_options(parse_address("tcp://127.0.0.1:1")))
    for settings, seconds in ((server, 110), (client, 50)):
        assert settings["grpc.keepalive_time_ms"] == 10_000
        assert settings["grpc.keepalive_timeout_ms"] == 1000 * seconds
        assert settings["grpc.http2.ping_timeout_ms"] == 1000 * seconds
    assert server["grpc.http2.min_ping_interval_without_data_ms"] == 5000
    said = {
        "docs/transports.md": [10, 110, 120, 50, 60],
        "docs/driving.md": [60, 110],
        "generated/docs/protocol.md": [10, 110, 5],
    }
    for page, numbers in said.items():
        found = re.findall(r"\b(\d+) seconds", (ROOT / page).read_text())
        assert {str(number) for number in numbers} <= set(found), page
