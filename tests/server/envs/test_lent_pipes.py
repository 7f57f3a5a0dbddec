"""A client on this machine whose calls the worker answers itself: all that holds, holds there."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

import rlmesh
from rlmesh.errors import (
    CallTimeoutError,
    EndpointDrainingError,
    EnvCrashedError,
    RemoteEnvError,
    RlmeshError,
)
from rlmesh.processes.stack_dump import record
from rlmesh.server.envs.process import lending, loan
from rlmesh.transports.shm.segment import SegmentRefusedError
from rlmesh_api.v1 import env_service_pb2, env_service_pb2_grpc
from support.certificates import make_certificates
from support.lent_env import LentEnv, deed
from support.serving import serving, start_python
from support.watching import SERVING, channel_to, check_health

Client = rlmesh.RemoteEnv[Any, Any]


@pytest.fixture(autouse=True)
def _transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLMESH_TRANSPORT", getattr(request, "param", "shm"))


# What depends on the pipe that is lent. All else is between the server and the worker.
over_both = pytest.mark.parametrize("_transport", ["shm", "direct"], indirect=True)


@contextlib.contextmanager
def lent(folder: Path, **settings: Any) -> Generator[rlmesh.EnvServer]:
    make = functools.partial(LentEnv, str(folder))
    with serving(make, isolation="process", direct="tcp://127.0.0.1:0", **settings) as server:
        yield server


@contextlib.contextmanager
def client_of(server: rlmesh.EnvServer, **settings: Any) -> Generator[Client]:
    with contextlib.closing(Client(server.address, **settings)) as client:
        assert client.transport == os.environ["RLMESH_TRANSPORT"]
        yield client


def diary(folder: Path) -> list[str]:
    return (folder / "diary").read_text().splitlines()


def reset_soon(client: Client) -> Any:
    """Resets; another worker may take longer to start than the client waits."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return client.reset()
        except CallTimeoutError:
            assert time.monotonic() < deadline


def in_diary(folder: Path, line: str) -> bool:
    return line in diary(folder)


def status(server: rlmesh.EnvServer) -> env_service_pb2.GetStatusResponse:
    with channel_to(server.address) as channel:
        stub = env_service_pb2_grpc.EnvServiceStub(channel)
        return stub.GetStatus(env_service_pb2.GetStatusRequest(), timeout=20)


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline
        pause.wait(0.005)


@contextlib.contextmanager
def calling(call: Callable[[], Any]) -> Generator[list[Any]]:
    """Has another thread make a call; what came of it stands in the list after the block."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(call())
        except Exception as error:  # noqa: BLE001 - the test looks at it
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield outcome
    finally:
        thread.join()


SERVER = """
import functools, sys
import rlmesh
from support.lent_env import LentEnv

make = functools.partial(LentEnv, sys.argv[1])
with rlmesh.EnvServer(make, isolation="process", direct="tcp://127.0.0.1:0") as server:
    print(server.address, flush=True)
    server.wait()
"""


@contextlib.contextmanager
def server_process(folder: Path) -> Generator[tuple[subprocess.Popen[str], str]]:
    with start_python(["-c", SERVER, str(folder)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.send_signal(signal.SIGCONT)
            process.kill()


@over_both
def test_a_worker_answers_its_client_while_the_server_is_stopped(tmp_path: Path) -> None:
    with (
        server_process(tmp_path) as (process, address),
        contextlib.closing(Client(address)) as client,
    ):
        client.reset()
        process.send_signal(signal.SIGSTOP)
        for _ in range(2):
            assert client.reset()[0] == 0
            assert [int(client.step(deed("count"))[0]) for _ in range(300)] == list(range(1, 301))
            assert client.step_many([deed("count")] * 2).observations.tolist() == [301, 302]
            assert client.render().strip() == "302 steps"
        process.send_signal(signal.SIGCONT)
        assert client.stats()["step"].count == 600
        assert client.step(deed("count"))[0] == 303


def is_lent(server: Any) -> bool:
    [session] = server._life._manager.sessions()
    return bool(session.lent)


@over_both
def test_a_pipe_is_lent_between_calls(tmp_path: Path) -> None:
    with lent(tmp_path) as server, client_of(server) as client:
        client.reset()
        for count in range(1, 10):
            assert client.step(deed("count"))[0] == count
            wait_until(functools.partial(is_lent, server))


@pytest.mark.parametrize(
    ("_transport", "settings", "encrypted"),
    [
        ("grpc", {}, False),
        ("grpc", {}, True),
        ("direct", {}, True),
        ("direct", {"reconnect": False}, False),
    ],
    indirect=["_transport"],
)
def test_where_a_loan_cannot_serve_the_server_relays(
    tmp_path: Path, settings: dict[str, Any], encrypted: bool
) -> None:
    tls: dict[str, Any] = {"server": {}, "client": {}}
    if encrypted:
        certificates = make_certificates(tmp_path)
        tls = {"server": {"tls": certificates.server()}, "client": {"tls": certificates.client()}}
    with (
        lent(tmp_path, **tls["server"]) as server,
        client_of(server, **tls["client"], **settings) as client,
    ):
        _, info = client.reset()
        for count in range(1, 10):
            assert client.step(deed("count"))[0] == count
            assert not borrowed(server)
        os.kill(info["pid"], signal.SIGKILL)
        with pytest.raises(EnvCrashedError, match="SIGKILL"):
            client.step(deed("count"))
        assert client.reset()[0] == 0


def borrowed(server: Any) -> bool:
    """Whether a worker has a pipe."""
    [slot] = server._provider.all()
    return slot.made._loan is not None


@over_both
def test_a_server_that_is_killed_ends_its_worker_and_its_client_notices(tmp_path: Path) -> None:
    with (
        server_process(tmp_path) as (process, address),
        contextlib.closing(Client(address)) as client,
    ):
        _, info = client.reset()
        with calling(lambda: client.step(deed("wait"))) as outcome:
            wait_until(lambda: "step 1" in diary(tmp_path))
            process.kill()
        assert isinstance(outcome[0], RlmeshError)
        wait_until(lambda: not Path(f"/proc/{info['pid']}").exists())


@over_both
def test_a_client_that_is_killed_in_a_step_leaves_its_place(tmp_path: Path) -> None:
    program = """
import sys, rlmesh
from support.lent_env import deed
env = rlmesh.RemoteEnv(sys.argv[1])
env.reset()
env.step(deed("wait"))
"""
    with lent(tmp_path) as server:
        with start_python(["-c", program, server.address]) as process:
            wait_until(lambda: (tmp_path / "diary").exists() and "step 1" in diary(tmp_path))
            process.kill()
        (tmp_path / "go").touch()
        with client_of(server, busy_timeout_seconds=30.0) as client:
            assert client.reset()[0] == 0


@over_both
def test_status_says_what_the_worker_does_and_how_many_calls_it_answered(tmp_path: Path) -> None:
    with lent(tmp_path) as server, client_of(server) as client:
        client.reset()
        for count in range(1, 40):
            client.step(deed("count"))
            told = status(server).sessions[0]
            assert (told.call, told.transport) == ("", client.transport)
            assert told.calls == count + 1
        with calling(lambda: client.step(deed("wait"))) as outcome:
            told = status(server).sessions[0]
            while "lent_env.py" not in told.stack:
                told = status(server).sessions[0]
            assert (told.call, told.sequence) == ("step", 42)
            assert told.busy_seconds > 0
            (tmp_path / "go").touch()
        assert outcome[0][0] == 40


@over_both
def test_failures_are_logged_and_counted_by_the_server_and_executed_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with lent(tmp_path) as server, client_of(server) as client:
        client.reset()
        with pytest.raises(RemoteEnvError, match="no luck"):
            client.step(deed("raise"))
        assert caplog.text.count("no luck") > 0
        assert status(server).sessions[0].failures == 1
        # In a segment of its own, which comes with a descriptor.
        with pytest.raises(RemoteEnvError, match="not with these options"):
            client.reset(options={"raise": True, "text": "x" * 3_000_000})
        assert client.reset(options={"text": "x" * 3_000_000})[1]["length"] == 3_000_000
        assert client.step(deed("count"))[0] == 1
        assert client.render().startswith("1 steps")
        assert client.step(deed("count"))[0] == 2
        assert client.stats()["step"].count == 3
    assert diary(tmp_path)[1:] == [
        "reset",
        "step 1",
        "reset",
        "reset",
        "step 1",
        "render",
        "step 2",
    ]


def test_a_reset_that_kills_its_worker_is_not_repeated(tmp_path: Path) -> None:
    with lent(tmp_path) as server, client_of(server) as client:
        client.reset()
        with pytest.raises(EnvCrashedError, match=r"in reset\(\).*SIGKILL"):
            client.reset(options={"die": True})
        assert client.reset()[0] == 0
    assert [line.split()[0] for line in diary(tmp_path)] == [
        "made",
        "reset",
        "reset",
        "made",
        "reset",
    ]


@pytest.mark.parametrize(
    ("_transport", "reconnect"),
    [("shm", True), ("direct", False)],
    indirect=["_transport"],
)
def test_the_death_of_a_worker_breaks_no_connection(tmp_path: Path, reconnect: bool) -> None:
    with lent(tmp_path) as server, client_of(server, reconnect=reconnect) as client:
        for _ in range(3):
            _, info = client.reset()
            os.kill(info["pid"], signal.SIGKILL)
            with pytest.raises(EnvCrashedError, match="SIGKILL"):
                client.step(deed("count"))
        _, info = client.reset()
        with calling(lambda: client.step(deed("wait"))) as outcome:
            wait_until(lambda: diary(tmp_path)[-1] == "step 1")
            os.kill(info["pid"], signal.SIGKILL)
        assert isinstance(outcome[0], EnvCrashedError)
        assert "in step()" in str(outcome[0])
        assert [session.transport for session in status(server).sessions] == [client.transport]


@pytest.mark.parametrize(
    ("_transport", "name"),
    [("shm", "stop"), ("shm", "hide"), ("direct", "stop")],
    indirect=["_transport"],
)
def test_a_worker_that_hangs_whatever_it_says_is_replaced_after_the_clients_time(
    tmp_path: Path, name: str
) -> None:
    with lent(tmp_path) as server, client_of(server, request_timeout_seconds=3.0) as client:
        _, info = client.reset()
        with pytest.raises(CallTimeoutError):
            client.step(deed(name))
        _, again = reset_soon(client)
        assert again["pid"] != info["pid"]
        assert client.step(deed("count"))[0] == 1


@pytest.mark.parametrize(
    ("_transport", "name"),
    [("shm", "stop"), ("shm", "hide"), ("direct", "stop")],
    indirect=["_transport"],
)
def test_a_worker_that_hangs_whatever_it_says_is_replaced_after_the_servers_time(
    tmp_path: Path, name: str
) -> None:
    options = rlmesh.ServeOptions(call_timeout_seconds=2.0)
    with lent(tmp_path, options=options) as server, client_of(server) as client:
        client.reset()
        with pytest.raises(CallTimeoutError, match=r"step\(\)"):
            client.step(deed(name))
        assert client.reset()[0] == 0


def test_a_worker_that_is_stopped_between_calls_is_replaced_after_the_clients_time(
    tmp_path: Path,
) -> None:
    with lent(tmp_path) as server, client_of(server, request_timeout_seconds=2.0) as client:
        _, info = client.reset()
        os.kill(info["pid"], signal.SIGSTOP)
        with pytest.raises(CallTimeoutError):
            client.step(deed("count"))
        assert reset_soon(client)[1]["pid"] != info["pid"]


def test_a_worker_that_does_not_give_a_connection_back_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loan, "_RECALL_SECONDS", 0.5)
    monkeypatch.setattr(loan, "_LOOK_SECONDS", 0.1)
    with lent(tmp_path) as server:
        with client_of(server) as client:
            _, info = client.reset()
            client.step(deed("count"))
            wait_until(lambda: not status(server).sessions[0].call)
            os.kill(info["pid"], signal.SIGSTOP)
        with client_of(server, busy_timeout_seconds=30.0) as client:
            assert client.reset()[1]["pid"] != info["pid"]


@pytest.mark.parametrize("name", ["short", "descriptors", "control"])
def test_a_worker_that_sends_what_cannot_be_is_ended_and_its_server_goes_on(
    tmp_path: Path, name: str
) -> None:
    with lent(tmp_path) as server, client_of(server) as client:
        client.reset()
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(EnvCrashedError, match="it sent what cannot be"):
            client.step(deed(name))
        assert check_health(server.address) == SERVING
        assert client.reset()[0] == 0
        assert client.step(deed("count"))[0] == 1
        assert len(os.listdir("/proc/self/fd")) == before


def test_what_a_worker_writes_on_its_page_ends_no_server(tmp_path: Path) -> None:
    with lent(tmp_path) as server, client_of(server) as client:
        client.reset()
        client.step(deed("scribble"))
        told = status(server)
        assert told.sessions[0].calls >= 0
        assert client.step(deed("count"))[0] == 2
        assert client.stats()["step"].serving_seconds is not None
        assert client.step(deed("count"))[0] == 3
        assert check_health(server.address) == SERVING


def test_a_status_that_is_none_ends_no_server(tmp_path: Path) -> None:
    with lent(tmp_path) as server, client_of(server) as client:
        client.reset()
        client.step(deed("status"))
        for _ in range(5):
            assert status(server).sessions[0].transport == client.transport
        assert client.step(deed("count"))[0] == 2


def test_a_pipe_in_the_place_of_the_stack_dump_keeps_nobody_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    descriptor = os.open(tmp_path / "pipe", os.O_RDWR)
    try:
        assert record(os.getpid(), descriptor) == ""
    finally:
        os.close(descriptor)


def test_two_clients_have_a_worker_each(tmp_path: Path) -> None:
    with (
        lent(tmp_path, sessions=2) as server,
        client_of(server) as one,
        client_of(server) as other,
    ):
        pids = {client.reset()[1]["pid"] for client in (one, other)}
        assert len(pids) == 2
        for count in range(1, 50):
            assert one.step(deed("count"))[0] == count
            assert other.step(deed("count"))[0] == count


def test_a_drain_lets_the_call_in_the_worker_finish(tmp_path: Path) -> None:
    with lent(tmp_path) as server, client_of(server) as client:
        client.reset()
        with calling(lambda: client.step(deed("wait"))) as outcome:
            wait_until(lambda: "step 1" in diary(tmp_path))
            with calling(server.shutdown):
                wait_until(lambda: check_health_or_gone(server.address) != SERVING)
                (tmp_path / "go").touch()
        assert outcome[0][0] == 1
        with pytest.raises(EndpointDrainingError):
            client.step(deed("count"))


def check_health_or_gone(address: str) -> Any:
    try:
        return check_health(address)
    except Exception:  # noqa: BLE001 - no server answers any more
        return None


def test_a_drain_ends_an_idle_session_at_once(tmp_path: Path) -> None:
    with lent(tmp_path) as server, client_of(server) as client:
        client.reset()
        server.shutdown()
        with pytest.raises(EndpointDrainingError):
            client.step(deed("count"))


def test_steps_keep_a_session_and_a_server_from_being_idle(tmp_path: Path) -> None:
    options = rlmesh.ServeOptions(session_idle_timeout_seconds=1.0, idle_timeout_seconds=4.0)
    with lent(tmp_path, options=options) as server:
        with client_of(server, reconnect=False) as client:
            client.reset()
            until = time.monotonic() + 5.0
            while time.monotonic() < until:
                client.step(deed("count"))
                threading.Event().wait(0.05)
            wait_until(lambda: not status(server).sessions)
            with pytest.raises(RlmeshError, match="no call came"):
                client.step(deed("count"))
        assert server.wait(30)


@over_both
def test_a_worker_without_descriptors_leaves_its_client_to_the_server(tmp_path: Path) -> None:
    with lent(tmp_path) as server, client_of(server) as client:
        client.reset()
        with pytest.raises(RemoteEnvError, match="no luck"):
            client.step(deed("limit"))
        for count in range(2, 20):
            assert client.step(deed("count"))[0] == count


def test_without_memory_for_a_page_calls_cross_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(size: int) -> int:
        raise SegmentRefusedError(f"the system refuses {size} bytes")

    monkeypatch.setattr(lending, "create_segment", refuse)
    with lent(tmp_path) as server, client_of(server) as client:
        assert client.reset()[0] == 0
        assert client.step(deed("count"))[0] == 1
        assert "through the server" in caplog.text
        os.kill(client.reset()[1]["pid"], signal.SIGKILL)
        with pytest.raises(EnvCrashedError):
            client.step(deed("count"))
        assert client.reset()[0] == 0


def break_clients_end(server: rlmesh.EnvServer, client: Any) -> None:
    client._env_client._call_client._transport._pipe.close()


def break_servers_end(server: Any, client: Any) -> None:
    for session in server._life._manager.sessions():
        if session.receiver is not None:
            session.receiver.close()


def break_stream(server: Any, client: Any) -> None:
    for session in server._life._manager.sessions():
        if session.stream is not None:
            session.stream.supersede()


@over_both
@pytest.mark.parametrize("way", [break_clients_end, break_servers_end, break_stream])
def test_connections_that_break_in_calls_and_between_them_are_not_seen(
    tmp_path: Path, way: Callable[[Any, Any], None]
) -> None:
    with lent(tmp_path) as server, client_of(server) as client:
        client.reset()
        for count in range(1, 25):
            if count % 5 == 0:
                way(server, client)
            if count % 6 == 0:
                (tmp_path / "go").unlink(missing_ok=True)
                with calling(lambda: client.step(deed("wait"))) as outcome:
                    wait_until(functools.partial(in_diary, tmp_path, f"step {count}"))
                    way(server, client)
                    (tmp_path / "go").touch()
                assert outcome[0][0] == count
            else:
                assert client.step(deed("count"))[0] == count
        client.reset()
        assert client.step(deed("count"))[0] == 1
    assert diary(tmp_path)[2:] == [f"step {n}" for n in range(1, 25)] + ["reset", "step 1"]


@over_both
def test_a_session_goes_on_over_grpc_when_its_shared_memory_broke(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lent(tmp_path) as server, client_of(server) as client:
        client.reset()
        with calling(lambda: client.step(deed("wait"))) as outcome:
            wait_until(lambda: "step 1" in diary(tmp_path))
            # From now on nobody reaches the listener.
            for name in ("enter_memory", "enter_direct"):
                monkeypatch.setattr(f"rlmesh.client.transport_selection.{name}", no_pipe)
            break_clients_end(server, client)
            wait_until(functools.partial(calls_by_stream, server))
            (tmp_path / "go").touch()
        assert outcome[0][0] == 1
        assert client.transport == "grpc"
        assert client.step(deed("count"))[0] == 2
    assert diary(tmp_path)[1:] == ["reset", "step 1", "step 2"]


def calls_by_stream(server: Any) -> bool:
    [session] = server._life._manager.sessions()
    return session.receiver is not None and bool(session.receiver.by_stream)


def no_pipe(*_: Any, **__: Any) -> None:
    return None


@over_both
def test_a_large_answer_that_was_lost_is_sent_again_and_not_made_again(tmp_path: Path) -> None:
    with lent(tmp_path) as server, client_of(server) as client:
        client.reset()
        found: Any = client
        transport = found._env_client._call_client._transport
        take = transport.take

        def lose(*arguments: Any) -> Any:
            received = take(*arguments)
            transport.take = take
            transport._pipe.close()
            del received
            return take(*arguments)

        transport.take = lose
        assert client.render().startswith("0 steps")
        assert client.step(deed("count"))[0] == 1
    assert diary(tmp_path)[1:] == ["reset", "render", "step 1"]


if sys.platform != "linux":
    pytest.skip("only Linux has the transport shm", allow_module_level=True)
