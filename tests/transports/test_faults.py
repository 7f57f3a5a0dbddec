"""A peer that is killed: the other side notices at once, and nothing of it is left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rlmesh
from rlmesh.errors import EndpointBusyError, EndpointError, SessionLostError
from rlmesh.transports import spin_policy
from support.pipes import descriptors, opened_since, wait_until_asleep, wait_until_in
from support.raw_sessions import raw_session
from support.sample_envs import Gate, ScriptedEnv
from support.serving import serving, start_python

# It must take less than a second, on a machine with nothing else to do; no test asserts that.
SOON = 10.0
ANY_PORT = "tcp://127.0.0.1:0"
TRANSPORTS = ["shm", "direct", "grpc"]
# Where a client sleeps that waits for an answer; with gRPC it is gRPC that sleeps.
SLEEPS = {"shm": "_sleep", "direct": "_sleep"}
GO_ON = np.array([0.5, -0.25], np.float32)
STAY = -GO_ON

Record = Callable[[str, object], None]

SERVE = """
import os, sys, time
import numpy as np
import rlmesh
from support.sample_envs import ScriptedEnv

env = ScriptedEnv()

def step():
    if env.actions.pop()[0] < 0:
        print("reached", flush=True)
        sys.stdin.readline()

def reset():
    if "fork" in sys.argv and not os.fork():
        # A worker that the environment makes when it is first used, and that outlives its parent.
        sys.stdin.readline()
        os._exit(0)

env.script.update(step=step, reset=reset)
options = rlmesh.ServeOptions(resume_timeout_seconds=3600 if "keep" in sys.argv else 10)
server = rlmesh.EnvServer(env, options=options, direct="tcp://127.0.0.1:0")
print(server.address, flush=True)
server.serve()
"""

DRIVE = """
import sys
import numpy as np
import rlmesh

env = rlmesh.RemoteEnv(sys.argv[1], transport=sys.argv[2], reconnect=False)
env.reset(seed=0)
env.step(np.zeros(2, np.float32))
print(env.transport, flush=True)
sys.stdin.readline()
while True:
    env.step(np.zeros(2, np.float32))
"""


@contextlib.contextmanager
def program(text: str, *arguments: str) -> Generator[tuple[subprocess.Popen[str], str]]:
    """A program of its own, and the first line that it says."""
    with start_python(
        ["-W", "error", "-c", text, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


@contextlib.contextmanager
def client_of(address: str, transport: Any) -> Generator[rlmesh.RemoteEnv[Any, Any]]:
    # What is tested is how soon a break is noticed, not what comes of it.
    connected = rlmesh.RemoteEnv[Any, Any](address, transport=transport, reconnect=False)
    with contextlib.closing(connected) as client:
        assert client.transport == transport
        client.reset(seed=0)
        client.step(GO_ON)
        yield client


def kill(process: subprocess.Popen[str]) -> float:
    """Kills a process; when that was."""
    os.kill(process.pid, signal.SIGKILL)
    return time.monotonic()


class Stepping:
    """A step on a thread of its own, and how it failed."""

    def __init__(self, client: rlmesh.RemoteEnv[Any, Any], action: Any) -> None:
        self.error: EndpointError | None = None
        self.ended = 0.0
        self._client = client
        self._action = action
        self.thread = threading.Thread(target=self._step)
        self.thread.start()

    def _step(self) -> None:
        try:
            self._client.step(self._action)
        except EndpointError as error:
            self.error = error
        self.ended = time.monotonic()

    def failed_within(self, begun: float, record: Record) -> None:
        """Checks that it fails soon after that moment, with the right error."""
        self.thread.join(SOON)
        assert not self.thread.is_alive(), "the client hangs"
        assert self.error is not None, "the step was answered"
        record("seconds", self.ended - begun)


def until(met: Callable[[], bool], what: str) -> float:
    """Waits until a condition is met; when that was."""
    pause = threading.Event()
    deadline = time.monotonic() + SOON
    while not met():
        assert time.monotonic() < deadline, what
        pause.wait(0.005)
    return time.monotonic()


def assert_lost(client: rlmesh.RemoteEnv[Any, Any]) -> None:
    """Every later call says so too, and none of them hangs."""
    begun = time.monotonic()
    for call in (client.reset, lambda: client.step(GO_ON), client.render):
        with pytest.raises(EndpointError):
            call()
    assert time.monotonic() - begun < SOON


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_server_that_is_killed_in_a_call_is_noticed_by_a_client_that_sleeps(
    transport: Any, record_property: Record
) -> None:
    with program(SERVE) as (server, address), client_of(address, transport) as client:
        stepping = Stepping(client, STAY)
        assert server.stdout is not None
        assert server.stdout.readline() == "reached\n"
        if transport in SLEEPS:
            wait_until_asleep(stepping.thread, SLEEPS[transport])
        stepping.failed_within(kill(server), record_property)
        assert_lost(client)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_client_that_would_go_on_notices_soon_that_its_server_was_killed(transport: Any) -> None:
    with program(SERVE, "keep") as (server, address):
        client = rlmesh.RemoteEnv[Any, Any](address, transport=transport)
        with contextlib.closing(client):
            client.reset(seed=0)
            stepping = Stepping(client, STAY)
            assert server.stdout is not None
            assert server.stdout.readline() == "reached\n"
            kill(server)
            # The server said that it keeps sessions for an hour.
            stepping.thread.join(SOON)
            assert isinstance(stepping.error, SessionLostError), stepping.error
            assert "no server listens" in str(stepping.error)


def spin_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has what waits in this process spin until `end_spinning`."""
    monkeypatch.setattr(spin_policy, "_SHORT_SPIN", 100.0)
    # Whoever else wants the processor, and however long a busy machine takes between two calls.
    monkeypatch.setattr(spin_policy, "_ALONE", float("inf"))
    monkeypatch.setattr(spin_policy, "_RARE", float("inf"))


def end_spinning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the time of what spins be over."""
    monkeypatch.setattr(spin_policy, "_SHORT_SPIN", 0.0)
    monkeypatch.setattr(spin_policy, "perf_counter", lambda: time.perf_counter() + 1000)


@pytest.mark.parametrize("transport", ["shm", "direct"])
def test_a_server_that_is_killed_in_a_call_is_noticed_by_a_client_that_spins(
    transport: Any, monkeypatch: pytest.MonkeyPatch, record_property: Record
) -> None:
    spin_for_long(monkeypatch)
    with program(SERVE) as (server, address), client_of(address, transport) as client:
        stepping = Stepping(client, STAY)
        assert server.stdout is not None
        assert server.stdout.readline() == "reached\n"
        wait_until_in(stepping.thread, "_spin")
        killed = kill(server)
        end_spinning(monkeypatch)
        stepping.failed_within(killed, record_property)
        assert_lost(client)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_server_that_is_killed_in_a_call_with_a_deadline_is_noticed_before_it(
    transport: Any,
) -> None:
    with program(SERVE) as (server, address):
        client = rlmesh.RemoteEnv[Any, Any](
            address, transport=transport, request_timeout_seconds=100, reconnect=False
        )
        with contextlib.closing(client):
            client.reset()
            stepping = Stepping(client, STAY)
            assert server.stdout is not None
            assert server.stdout.readline() == "reached\n"
            stepping.failed_within(kill(server), lambda *_: None)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_server_that_is_killed_between_calls_is_noticed_by_the_next(
    transport: Any, record_property: Record
) -> None:
    with program(SERVE) as (server, address), client_of(address, transport) as client:
        killed = kill(server)
        server.wait(SOON)
        Stepping(client, GO_ON).failed_within(killed, record_property)
        assert_lost(client)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_server_that_is_killed_while_steps_are_under_way_is_noticed(
    transport: Any, record_property: Record
) -> None:
    with program(SERVE) as (server, address), client_of(address, transport) as client:
        many = threading.Event()

        def steps() -> None:
            with contextlib.suppress(EndpointError):
                for count in range(10**9):
                    client.step(GO_ON)
                    if count == 200:
                        many.set()

        stepping = threading.Thread(target=steps)
        stepping.start()
        assert many.wait(SOON)
        killed = kill(server)
        stepping.join(SOON)
        assert not stepping.is_alive(), "the client hangs"
        record_property("seconds", time.monotonic() - killed)
        assert_lost(client)


@pytest.mark.parametrize("transport", ["shm", "direct"])
def test_a_server_is_noticed_to_be_killed_though_a_worker_of_its_environment_lives_on(
    transport: Any, record_property: Record
) -> None:
    with program(SERVE, "fork") as (server, address), client_of(address, transport) as client:
        stepping = Stepping(client, STAY)
        assert server.stdout is not None
        assert server.stdout.readline() == "reached\n"
        stepping.failed_within(kill(server), record_property)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_client_whose_server_was_killed_leaves_nothing(transport: Any) -> None:
    with program(SERVE) as (_, address), client_of(address, transport):
        # gRPC has what it keeps for the rest of the process.
        before = descriptors()
    before = descriptors()
    threads = set(threading.enumerate())
    with program(SERVE) as (server, address), client_of(address, transport) as client:
        kill(server)
        server.wait(SOON)
        with pytest.raises(EndpointError):
            client.step(GO_ON)
    del client, server
    until(lambda: not ours(opened_since(before)), f"left: {opened_since(before)}")
    until(lambda: set(threading.enumerate()) <= threads, "threads are left")


def ours(found: dict[int, str]) -> dict[int, str]:
    """Without the descriptors that gRPC keeps for its next connection."""
    return {
        at: what for at, what in found.items() if "eventpoll" not in what and "eventfd" not in what
    }


def test_a_killed_server_leaves_no_socket_and_no_segment() -> None:
    def segments() -> set[str]:
        return {name for name in os.listdir("/dev/shm") if "rlmesh" in name}  # noqa: S108 - only looked at

    before = segments()
    with program(SERVE) as (server, address), raw_session(address) as session:
        name = session.offer("shm")
        pipe = session.pipe("shm")
        assert f"@{name}" in Path("/proc/net/unix").read_text()
        kill(server)
        server.wait(SOON)
        pipe.release()
        assert name not in Path("/proc/net/unix").read_text()
    assert segments() == before


@contextlib.contextmanager
def killable_client(
    transport: Any,
) -> Generator[tuple[ScriptedEnv, Gate, rlmesh.EnvServer, subprocess.Popen[str]]]:
    """A client in a process of its own; its next step stays at the gate."""
    env, gate = ScriptedEnv(), Gate()
    with serving(env, direct=ANY_PORT) as server:
        try:
            with program(DRIVE, server.address, transport) as (client, line):
                assert line == transport
                env.script["step"] = gate.wait
                yield env, gate, server, client
        finally:
            gate.open()


def free(server: rlmesh.EnvServer) -> Callable[[], bool]:
    """Whether the next client can come in."""

    def connects() -> bool:
        try:
            rlmesh.RemoteEnv(server.address, transport="grpc").close()
        except EndpointBusyError:
            return False
        return True

    return connects


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_client_that_is_killed_between_calls_frees_the_environment(
    transport: Any, record_property: Record
) -> None:
    with killable_client(transport) as (_, _, server, client):
        killed = kill(client)
        freed = until(free(server), "the environment is not free again")
        record_property("seconds", freed - killed)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_client_that_is_killed_in_a_call_frees_the_environment_once_that_is_over(
    transport: Any, record_property: Record
) -> None:
    with killable_client(transport) as (env, gate, server, client):
        assert client.stdin is not None
        client.stdin.write("go on\n")
        client.stdin.flush()
        assert gate.reached.wait(SOON)
        kill(client)
        client.wait(SOON)
        with pytest.raises(EndpointBusyError):
            rlmesh.RemoteEnv(server.address)
        calls = env.names()
        opened = time.monotonic()
        gate.open()
        freed = until(free(server), "the environment is not free again")
        record_property("seconds", freed - opened)
        assert env.names() == calls, "nothing but the call that was under way"


@pytest.mark.parametrize("transport", ["shm", "direct"])
def test_a_client_that_is_killed_while_the_server_spins_frees_the_environment(
    transport: Any, monkeypatch: pytest.MonkeyPatch, record_property: Record
) -> None:
    spin_for_long(monkeypatch)
    with killable_client(transport) as (_, _, server, client):
        killed = kill(client)
        end_spinning(monkeypatch)
        freed = until(free(server), "the environment is not free again")
        record_property("seconds", freed - killed)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("in_call", [False, True])
def test_a_server_keeps_nothing_of_a_killed_client(transport: Any, in_call: bool) -> None:
    env, gate = ScriptedEnv(), Gate()
    with serving(env, direct=ANY_PORT) as server:
        free(server)()
        before = descriptors()
        threads = set(threading.enumerate())
        with program(DRIVE, server.address, transport) as (client, _):
            env.script["step"] = gate.wait
            if in_call:
                assert client.stdin is not None
                client.stdin.write("go on\n")
                client.stdin.flush()
                assert gate.reached.wait(SOON)
            kill(client)
            client.wait(SOON)
        del client
        gate.open()
        until(lambda: not ours(opened_since(before)), f"left: {opened_since(before)}")
        # From the first break on a server has a thread that looks after broken sessions.
        threads |= {thread for thread in threading.enumerate() if thread.name == "rlmesh-watchdog"}
        until(lambda: set(threading.enumerate()) <= threads, "threads are left")
