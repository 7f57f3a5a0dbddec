"""The units: readiness by Type=notify, the socket before the server, and the end."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

import rlmesh
from support.deployed import DEPLOY, Place, drain_seconds, probe_commands, serving_command
from support.health_probes import grpc_health_probe
from support.processes import command

SOON = 60.0
PROXY = "/lib/systemd/systemd-socket-proxyd"


def setting(unit: str, name: str) -> str:
    """The value of a setting that stands once in a unit."""
    lines = (DEPLOY / "systemd" / unit).read_text().splitlines()
    [found] = [line.partition("=")[2] for line in lines if line.startswith(f"{name}=")]
    return found


@pytest.fixture
def folder() -> Generator[Path]:
    """A folder with a short path, as a Unix socket needs it."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@contextlib.contextmanager
def notified(folder: Path) -> Generator[socket.socket]:
    """The socket on which systemd waits for a service of Type=notify."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(folder / "notify"))
        receiver.settimeout(SOON)
        yield receiver


def arguments(folder: Path) -> tuple[list[str], Place]:
    program, *given = shlex.split(setting("rlmesh-env.service", "ExecStart"))
    assert program == "/opt/rlmesh/bin/rlmesh"
    return given, Place(paths={"/run/rlmesh": folder})


def test_the_unit_is_active_once_the_server_serves_and_ends_in_time(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert setting("rlmesh-env.service", "Type") == "notify"
    grace = float(setting("rlmesh-env.service", "TimeoutStopSec"))
    given, place = arguments(folder)
    assert drain_seconds(given) + 5 <= grace
    address = f"unix://{folder}/env.sock"
    with notified(folder) as supervisor, monkeypatch.context() as patch:
        patch.setenv("NOTIFY_SOCKET", str(folder / "notify"))
        with command(*place.translate(given)) as server:
            state = dict(line.split("=", 1) for line in supervisor.recv(4096).decode().splitlines())
            assert state == {"READY": "1", "STATUS": f"CartPole-v1 is served at {address}"}
            with contextlib.closing(rlmesh.RemoteEnv[object, object](address)) as env:
                env.reset(seed=0)
                assert env.transport == "shm"
            [probe] = probe_commands("a Unix socket")
            assert grpc_health_probe(probe.replace("/run/rlmesh", str(folder))) == 0
            server.send(signal.SIGTERM)
            ended = server.end(grace)
    assert (ended.code, ended.err) == (0, "")


def test_a_name_in_the_abstract_namespace_is_a_supervisor_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = f"rlmesh-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        try:
            receiver.bind(f"\0{name}")
        except OSError:
            pytest.skip("this system has no abstract namespace")
        receiver.settimeout(SOON)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        with serving_command(["serve", "CartPole-v1"], Place()):
            assert receiver.recv(4096).startswith(b"READY=1\n")


def test_a_server_goes_on_where_nobody_waits_at_the_supervisors_socket(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(folder / "nobody"))
    with serving_command(["serve", "CartPole-v1"], Place()) as server:
        server.send(signal.SIGTERM)
        ended = server.end()
    assert ended.code == 0
    assert ended.err.startswith("Warning: nothing receives at NOTIFY_SOCKET=")


def test_a_connection_to_the_socket_reaches_the_server(folder: Path) -> None:
    activate = shutil.which("systemd-socket-activate")
    if activate is None or not Path(PROXY).exists():
        pytest.skip("systemd is missing on this machine")
    started = shlex.split(setting("rlmesh-env-proxy.service", "ExecStart"))
    assert started[0] == PROXY
    given, place = arguments(folder)
    listens = str(folder / "proxy.sock")
    assert setting("rlmesh-env-proxy.socket", "ListenStream").startswith("/")
    with (
        serving_command(given, place),
        subprocess.Popen(
            [activate, f"--listen={listens}", *place.translate(started)],
            stderr=subprocess.PIPE,
            text=True,
        ) as proxy,
    ):
        try:
            assert proxy.stderr is not None
            assert f"Listening on {listens}" in proxy.stderr.readline()
            with contextlib.closing(rlmesh.RemoteEnv[object, object](f"unix://{listens}")) as env:
                env.reset(seed=0)
        finally:
            proxy.terminate()
