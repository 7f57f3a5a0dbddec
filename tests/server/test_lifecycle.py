"""How a server begins and ends."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import rlmesh
from rlmesh.errors import ArgumentTypeError, EndpointError, InvalidArgumentError, StateError
from support.sample_envs import Gate, ScriptedEnv
from support.serving import served_process, serving, start_python

# Generous: a busy machine is no failure, and what waits for the wrong thing waits for ever.
SOON = 10.0


def can_be_bound(address: str) -> bool:
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
            probe.listen()
        except OSError:
            return False
    return True


def test_start_returns_and_wait_tells_whether_the_server_has_ended() -> None:
    server = rlmesh.EnvServer(ScriptedEnv())
    server.start()
    assert server.wait(0) is False
    assert server.wait(0.01) is False
    server.shutdown()
    assert server.wait(0) is True
    assert server.wait() is True


def test_the_context_manager_starts_and_shuts_down() -> None:
    env = ScriptedEnv()
    with rlmesh.EnvServer(env) as server:
        with contextlib.closing(rlmesh.RemoteEnv(server.address)) as client:
            client.reset(seed=0)
    assert server.wait(0) is True
    assert env.names() == ["reset", "close"]
    assert can_be_bound(server.address)


def test_the_context_manager_takes_a_server_that_was_started() -> None:
    server = rlmesh.EnvServer(ScriptedEnv())
    server.start()
    with server:
        rlmesh.RemoteEnv(server.address).close()
    assert server.wait(0) is True


def test_the_context_manager_shuts_down_when_its_block_raises() -> None:
    server = rlmesh.EnvServer(ScriptedEnv())
    with pytest.raises(ZeroDivisionError), server:
        _ = 1 / 0
    assert server.wait(0) is True


def test_a_shutdown_closes_the_environment_once() -> None:
    env = ScriptedEnv()
    server = rlmesh.EnvServer(env)
    server.start()
    server.shutdown()
    server.shutdown()
    assert env.names() == ["close"]


def test_a_shutdown_frees_the_port() -> None:
    with serving(ScriptedEnv()) as server:
        pass
    assert can_be_bound(server.address)
    with serving(ScriptedEnv(), server.address):
        rlmesh.RemoteEnv(server.address).close()


def test_a_shutdown_of_a_server_that_never_started_frees_the_port_and_closes_the_environment() -> (
    None
):
    env = ScriptedEnv()
    server = rlmesh.EnvServer(env)
    assert not can_be_bound(server.address)
    server.shutdown()
    assert can_be_bound(server.address)
    assert env.names() == ["close"]


def test_a_shutdown_from_several_threads_at_once_is_one() -> None:
    env = ScriptedEnv()
    server = rlmesh.EnvServer(env)
    server.start()
    threads = [threading.Thread(target=server.shutdown) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)
    assert server.wait(0) is True
    assert env.names() == ["close"]


def test_an_idle_client_does_not_delay_a_shutdown() -> None:
    with serving(ScriptedEnv()) as server:
        client: rlmesh.RemoteEnv[Any, Any] = rlmesh.RemoteEnv(server.address)
        client.reset(seed=0)
        before = time.monotonic()
        server.shutdown()
        assert time.monotonic() - before < SOON
        with pytest.raises(EndpointError, match=r"shutting down|ended"):
            client.reset()
        client.close()


def test_the_call_in_flight_finishes_and_its_answer_arrives() -> None:
    env, gate = ScriptedEnv(), Gate()
    env.script["step"] = gate.wait
    results: list[Any] = []
    with serving(env) as server:
        client: rlmesh.RemoteEnv[Any, Any] = rlmesh.RemoteEnv(server.address)
        client.reset(seed=0)
        action = client.action_space.sample()
        stepping = threading.Thread(target=lambda: results.append(client.step(action)))
        stepping.start()
        assert gate.reached.wait(SOON)
        ending = threading.Thread(target=server.shutdown)
        ending.start()
        assert server.wait(0.1) is False, "the call is still in flight"
        gate.open()
        ending.join(SOON)
        stepping.join(SOON)
        assert server.wait(0) is True
        client.close()
    assert len(results) == 1
    assert env.names() == ["reset", "step", "close"]


def test_an_environment_may_shut_its_own_server_down() -> None:
    env = ScriptedEnv()
    with serving(env) as server:
        env.script["step"] = server.shutdown
        with contextlib.closing(rlmesh.RemoteEnv(server.address)) as client:
            client.reset(seed=0)
            client.step(client.action_space.sample())
            assert server.wait(SOON) is True
    assert env.names() == ["reset", "step", "close"]


def test_a_close_that_raises_does_not_stop_the_shutdown(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise RuntimeError("the listener is jammed")

    env = ScriptedEnv()
    env.script["close"] = fail
    with serving(env) as server:
        pass
    assert server.wait(0) is True
    assert can_be_bound(server.address)
    assert "the listener is jammed" in caplog.text


def test_new_clients_are_refused_while_the_server_drains() -> None:
    env, gate = ScriptedEnv(), Gate()
    env.script["close"] = gate.wait
    with serving(env) as server:
        ending = threading.Thread(target=server.shutdown)
        ending.start()
        try:
            assert gate.reached.wait(SOON)
            with pytest.raises(EndpointError):
                rlmesh.RemoteEnv(server.address, connect_timeout_seconds=SOON)
        finally:
            gate.open()
            ending.join(SOON)


@pytest.mark.parametrize("verb", ["start", "serve"])
def test_a_server_is_started_once(verb: str) -> None:
    with serving(ScriptedEnv()) as server:
        with pytest.raises(StateError, match=f"{verb}: .* is serving") as caught:
            getattr(server, verb)()
        assert isinstance(caught.value, RuntimeError)
        rlmesh.RemoteEnv(server.address).close()


def enter(server: rlmesh.EnvServer) -> None:
    with server:
        pass


@pytest.mark.parametrize("begin", [rlmesh.EnvServer.start, rlmesh.EnvServer.serve, enter])
def test_a_server_that_has_ended_is_not_started_again(
    begin: Callable[[rlmesh.EnvServer], None],
) -> None:
    server = rlmesh.EnvServer(ScriptedEnv())
    server.shutdown()
    with pytest.raises(StateError, match="make a new one"):
        begin(server)


def test_wait_before_start_is_an_error() -> None:
    server = rlmesh.EnvServer(ScriptedEnv())
    try:
        with pytest.raises(StateError, match=r"call start\(\) first"):
            server.wait(1)
    finally:
        server.shutdown()


@pytest.mark.parametrize(
    ("timeout", "kind"),
    [
        (-1, InvalidArgumentError),
        (float("nan"), InvalidArgumentError),
        (1e10, InvalidArgumentError),
        ("1", ArgumentTypeError),
    ],
)
def test_wait_refuses_what_is_no_time(timeout: Any, kind: type[Exception]) -> None:
    with serving(ScriptedEnv()) as server, pytest.raises(kind, match="timeout"):
        server.wait(timeout)


def test_wait_takes_a_long_time() -> None:
    with serving(ScriptedEnv()) as server:
        waiting = threading.Thread(target=server.wait, args=(1e9,))
        waiting.start()
        server.shutdown()
        waiting.join(SOON)
        assert not waiting.is_alive()


def test_serve_returns_after_a_shutdown_from_another_thread() -> None:
    env = ScriptedEnv()
    server = rlmesh.EnvServer(env)
    thread = threading.Thread(target=server.serve)
    thread.start()
    rlmesh.RemoteEnv(server.address).close()
    server.shutdown()
    thread.join(SOON)
    assert not thread.is_alive()
    assert env.names() == ["close"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("options", [(), ("--start",)], ids=["serve", "start-and-wait"])
def test_a_signal_ends_the_process_with_code_0(
    number: signal.Signals, options: tuple[str, ...]
) -> None:
    with served_process("scripted", *options) as server:
        with contextlib.closing(rlmesh.RemoteEnv(server.address)) as client:
            client.reset(seed=0)
        server.send(number)
        assert server.wait() == 0
        assert can_be_bound(server.address)


@pytest.mark.parametrize("options", [(), ("--start",)], ids=["serve", "start-and-wait"])
def test_a_signal_ends_the_process_though_an_idle_client_is_connected(
    options: tuple[str, ...],
) -> None:
    with served_process("scripted", *options) as server:
        client: rlmesh.RemoteEnv[Any, Any] = rlmesh.RemoteEnv(server.address)
        client.reset(seed=0)
        server.send(signal.SIGTERM)
        assert server.wait() == 0
        with pytest.raises(EndpointError):
            client.reset()
        client.close()


@pytest.mark.parametrize("options", [(), ("--start",)], ids=["serve", "start-and-wait"])
def test_a_signal_lets_the_call_in_flight_finish(options: tuple[str, ...]) -> None:
    with served_process("signalled", *options) as server:
        client: rlmesh.RemoteEnv[Any, Any] = rlmesh.RemoteEnv(server.address)
        client.reset(seed=0)
        _, reward, *_ = client.step(client.action_space.sample())
        assert reward == 1.0
        assert server.wait() == 0
        client.close()


def test_a_signal_removes_the_socket_file(tmp_path: Path) -> None:
    with served_process("scripted", "--address", f"unix://{tmp_path}/e.sock") as server:
        rlmesh.RemoteEnv(server.address).close()
        server.send(signal.SIGTERM)
        assert server.wait() == 0
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_was_killed_leaves_a_socket_file_that_the_next_one_replaces(
    tmp_path: Path,
) -> None:
    path = tmp_path / "e.sock"
    with served_process("scripted", "--address", f"unix://{path}") as server:
        rlmesh.RemoteEnv(server.address).close()
        server.send(signal.SIGKILL)
        server.wait()
    assert path.exists()
    with serving(ScriptedEnv(), path=path) as again:
        rlmesh.RemoteEnv(again.address).close()


def test_a_program_that_forgets_to_shut_down_ends_and_closes_its_environment() -> None:
    program = """
import rlmesh
from support.sample_envs import ScriptedEnv
env = ScriptedEnv()
env.script["close"] = lambda: print("closed", flush=True)
server = rlmesh.EnvServer(env)
server.start()
rlmesh.RemoteEnv(server.address).close()
"""
    with start_python(
        ["-W", "error", "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        output, complaints = process.communicate(timeout=60)
    assert (process.returncode, output, complaints) == (0, "closed\n", "")


def test_a_client_of_a_server_that_was_killed_is_told() -> None:
    with served_process("scripted") as server:
        client = rlmesh.RemoteEnv[Any, Any](server.address, reconnect=False)
        client.reset(seed=0)
        server.send(signal.SIGKILL)
        server.wait()
        action = client.action_space.sample()
        for call in (client.reset, lambda: client.step(action), client.render, client.reset):
            with pytest.raises(EndpointError, match="broke") as caught:
                call()
            assert isinstance(caught.value, ConnectionError)
        client.close()


def test_the_handlers_of_the_program_are_restored_after_serve() -> None:
    program = """
import signal, threading
import rlmesh
from support.sample_envs import ScriptedEnv
before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
server = rlmesh.EnvServer(ScriptedEnv())
threading.Timer(0.1, server.shutdown).start()
server.serve()
assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before
"""
    with start_python(["-W", "error", "-c", program], stderr=subprocess.PIPE) as process:
        _, complaints = process.communicate(timeout=60)
    assert (process.returncode, complaints) == (0, "")


def test_idleness_ends_the_server_when_that_is_asked_for() -> None:
    env = ScriptedEnv()
    options = rlmesh.ServeOptions(idle_timeout_seconds=0.2)
    with serving(env, options=options) as server:
        assert server.wait(SOON) is True
    assert env.names() == ["close"]


def test_a_call_that_hangs_is_left_behind_after_the_drain_timeout() -> None:
    env, gate = ScriptedEnv(), Gate()
    env.script["step"] = gate.wait
    options = rlmesh.ServeOptions(drain_timeout_seconds=0.1)
    try:
        with serving(env, options=options) as server:
            client: rlmesh.RemoteEnv[Any, Any] = rlmesh.RemoteEnv(
                server.address, request_timeout_seconds=SOON
            )
            client.reset(seed=0)
            failures: list[Exception] = []
            action = client.action_space.sample()

            def step() -> None:
                try:
                    client.step(action)
                except EndpointError as error:
                    failures.append(error)

            stepping = threading.Thread(target=step)
            stepping.start()
            assert gate.reached.wait(SOON)
            server.shutdown()
            assert server.wait(0) is True
            stepping.join(SOON)
            client.close()
        assert len(failures) == 1
    finally:
        gate.open()


def test_a_close_that_hangs_is_left_behind_after_the_close_timeout() -> None:
    env, gate = ScriptedEnv(), Gate()
    env.script["close"] = gate.wait
    try:
        with serving(env, options=rlmesh.ServeOptions(close_timeout_seconds=0.1)) as server:
            server.shutdown()
            assert server.wait(0) is True
    finally:
        gate.open()
