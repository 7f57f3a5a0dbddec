"""A process without free descriptors: a clear error, and everything as before."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest

import rlmesh
from rlmesh.errors import SystemResourceError
from rlmesh.processes.supervisor import Supervisor
from rlmesh.transports.listener import open_shm_listener
from rlmesh.transports.pipe_transport import PipeTransport
from rlmesh.transports.shm.pipe import SegmentLayout
from rlmesh.transports.system_resources import MIN_FREE_DESCRIPTORS
from rlmesh_api.v1 import env_service_pb2, env_service_pb2_grpc, session_pb2
from support.chaos import ChaosProxy
from support.descriptors import free_descriptors, open_descriptors
from support.raw_sessions import RawSession, raw_session
from support.sample_envs import ScriptedEnv
from support.serving import START_SECONDS, served_process, serving, start_python
from support.watching import channel_to, status_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="counts what /proc lists")

ACTION = np.array([0.5, -0.25], np.float32)
FREE = pytest.mark.parametrize("free", [0, 1, 2, 3, 4, MIN_FREE_DESCRIPTORS - 1])
LACKING = "Too many open files.*ulimit -n"
REFUSED = f"{MIN_FREE_DESCRIPTORS} descriptors must be free.*{LACKING}"
# A process in which gRPC sets itself up, with one descriptor.
FIRST_USE = """
import sys
import rlmesh
from rlmesh.client.probing import fetch_status
from rlmesh.errors import SystemResourceError
from support.descriptors import free_descriptors
from support.sample_envs import ScriptedEnv

uses = {
    "server": lambda: rlmesh.EnvServer(ScriptedEnv()),
    "client": lambda: rlmesh.RemoteEnv("tcp://127.0.0.1:1", connect_timeout_seconds=0),
    "probe": lambda: fetch_status("tcp://127.0.0.1:1", 0),
}
# What Python imports at the first use is there.
rlmesh.EnvServer, rlmesh.RemoteEnv, "localhost".encode("idna")
rlmesh.spaces.from_gymnasium_space(ScriptedEnv().observation_space)
for free in range(4):
    with free_descriptors(free):
        try:
            uses[sys.argv[1]]()
        except SystemResourceError:
            print("refused")
"""


@pytest.fixture(autouse=True, scope="module")
def grpc_in_use() -> Generator[None]:
    """Keeps gRPC from closing descriptors in the background, as it does when its last use ends."""
    with serving(ScriptedEnv()) as server, contextlib.closing(client_of(server.address)):
        yield


@pytest.fixture(autouse=True)
def settled(grpc_in_use: None) -> None:
    """Other tests' descriptors are closed."""
    pause, until = threading.Event(), time.monotonic() + 20
    before = -1
    while before != (before := open_descriptors()):
        assert time.monotonic() < until
        pause.wait(0.1)


@FREE
def test_no_server_is_made_without_descriptors_and_none_is_lost(free: int) -> None:
    env = ScriptedEnv()
    before = open_descriptors()
    with free_descriptors(free), pytest.raises(SystemResourceError, match=REFUSED):
        rlmesh.EnvServer(env)
    assert open_descriptors() == before
    with serving(env) as server, contextlib.closing(client_of(server.address)) as client:
        client.reset()


@FREE
@pytest.mark.parametrize("verb", ["start", "serve"])
def test_a_server_that_cannot_be_started_without_descriptors_is_as_before(
    verb: str, free: int
) -> None:
    env = ScriptedEnv()
    server = rlmesh.EnvServer(env, direct="tcp://127.0.0.1:0")
    try:
        before = open_descriptors()
        with free_descriptors(free), pytest.raises(SystemResourceError, match=REFUSED):
            getattr(server, verb)()
        assert open_descriptors() == before
        assert env.names() == []
        server.start()
        with contextlib.closing(client_of(server.address)) as client:
            client.reset()
            assert client.step(ACTION)[1] == 1.0
    finally:
        server.shutdown()


@FREE
def test_a_client_that_cannot_connect_without_descriptors_leaves_the_endpoint_free(
    free: int,
) -> None:
    with serving(ScriptedEnv()) as server:
        with free_descriptors(free), pytest.raises(SystemResourceError, match=LACKING):
            client_of(server.address)
        with contextlib.closing(client_of(server.address)) as client:
            client.reset()


@pytest.mark.parametrize("free", range(MIN_FREE_DESCRIPTORS, MIN_FREE_DESCRIPTORS + 6))
@pytest.mark.parametrize("transport", ["shm", "direct", "grpc"])
def test_with_a_few_descriptors_a_server_and_its_client_work_or_say_why(
    transport: Any, free: int
) -> None:
    with serving(ScriptedEnv(), direct="tcp://127.0.0.1:0") as server:
        with (
            free_descriptors(free),
            # A transport that cannot be made is replaced by the stream.
            contextlib.suppress(rlmesh.RlmeshError),
            contextlib.closing(client_of(server.address, transport=transport)) as client,
        ):
            client.reset()
            assert client.step(ACTION)[1] == 1.0
        with contextlib.closing(client_of(server.address, transport=transport)) as client:
            assert client.transport == transport
            client.reset()


@pytest.mark.parametrize("use", ["server", "client", "probe"])
def test_the_first_use_of_grpc_without_descriptors_is_refused_and_ends_no_process(
    use: str,
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FIRST_USE, use],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )
    # What is refused has used nothing: the next one is the first again.
    assert (done.returncode, done.stdout) == (0, "refused\n" * 4), done.stderr


@pytest.mark.parametrize("transport", ["shm", "direct", "grpc"])
def test_a_client_whose_connection_breaks_resumes_once_a_descriptor_is_free(
    transport: Any,
) -> None:
    with (
        served_process("scripted", "--direct", "--resume", "60") as server,
        ChaosProxy(0) as proxy,
        contextlib.closing(through(proxy, server.address, transport)) as client,
    ):
        client.reset()
        call_client: Any = client._env_client._call_client
        results: list[Any] = []
        stepping = threading.Thread(target=lambda: results.append(client.step(ACTION)))
        with free_descriptors(0):
            if isinstance(call_client._transport, PipeTransport):
                call_client._transport._pipe.close()
            proxy.cut()
            stepping.start()
            stepping.join(0.5)
            assert not results
        stepping.join(20)
        assert results[0][1] == 1.0


def test_a_reset_without_descriptors_says_so_and_the_next_one_opens_another_session() -> None:
    with (
        serving(ScriptedEnv()) as server,
        contextlib.closing(client_of(server.address)) as client,
    ):
        client.reset()
        client._env_client._call_client._note(rlmesh.errors.SessionLostError("it is lost"))
        with free_descriptors(0), pytest.raises(SystemResourceError, match=LACKING):
            client.reset()
        client.reset()
        assert client.step(ACTION)[1] == 1.0


@pytest.mark.parametrize("transport", ["shm", "direct", "grpc"])
def test_a_server_without_descriptors_accepts_once_one_is_free(transport: Any) -> None:
    code = """
import sys
import rlmesh
from support.descriptors import free_descriptors
from support.sample_envs import ScriptedEnv

with rlmesh.EnvServer(ScriptedEnv(), direct="tcp://127.0.0.1:0") as server:
    with free_descriptors(0):
        print(server.address, flush=True)
        sys.stdin.readline()
    sys.stdin.readline()
"""
    server = start_python(["-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with server:
        assert server.stdin is not None
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        with pytest.raises(rlmesh.RlmeshError):
            client_of(address, connect_timeout_seconds=0.5)
        server.stdin.write("\n")
        server.stdin.flush()
        with contextlib.closing(client_of(address, transport=transport)) as client:
            client.reset()
            assert client.step(ACTION)[1] == 1.0
            assert client.transport == transport
        server.stdin.write("\n")
    assert server.returncode == 0


@pytest.mark.parametrize("free", [0, 2, 4, 6])
def test_a_worker_that_cannot_start_is_refused_and_a_later_one_served(free: int) -> None:
    with serving(ScriptedEnv, sessions=2, isolation="process") as server, ExitStack() as clients:
        clients.enter_context(raw_session(server.address))
        with channel_to(server.address) as channel:
            # Connected, before no descriptor is free.
            status_of(server.address)
            stub = env_service_pb2_grpc.EnvServiceStub(channel)
            stub.GetStatus(env_service_pb2.GetStatusRequest(), timeout=20)
            with free_descriptors(free):
                refused = RawSession(channel)
            assert refused.answer.failure.code == session_pb2.ERROR_CODE_ENV_CRASHED
            assert "Too many open files" in refused.answer.failure.message
            refused.close()
        later = clients.enter_context(contextlib.closing(client_of(server.address)))
        later.reset()


@pytest.mark.usefixtures("no_shared_memory")
def test_without_shared_memory_a_session_uses_another_transport() -> None:
    with serving(ScriptedEnv()) as server, contextlib.closing(client_of(server.address)) as client:
        assert client.transport == "grpc"
        client.reset()
        assert client.step(ACTION)[1] == 1.0


@pytest.fixture
def no_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> int:
        raise OSError(errno.ENFILE, os.strerror(errno.ENFILE))

    monkeypatch.setattr(os, "memfd_create", refuse)


@pytest.mark.parametrize("free", [0, 1, 2])
def test_a_supervisor_that_cannot_begin_without_descriptors_begins_later(free: int) -> None:
    supervisor = Supervisor()
    done: list[str] = []
    before = open_descriptors()
    with free_descriptors(free), pytest.raises(OSError, match="Too many open files"):
        supervisor.do(lambda: done.append("too early"))
    assert open_descriptors() == before
    supervisor.do(lambda: done.append("later"))
    assert done == ["later"]


def test_a_supervisor_that_cannot_begin_without_a_thread_begins_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    supervisor = Supervisor()
    before = open_descriptors()

    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", fail)
        with pytest.raises(RuntimeError, match="new thread"):
            supervisor.do(lambda: "too early")
    assert open_descriptors() == before
    assert supervisor.do(lambda: "later") == "later"


def test_a_listener_whose_name_is_taken_leaves_no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "token_hex", lambda _: f"taken-{os.getpid()}")
    _, listener = open_shm_listener(SegmentLayout(4096, 4096), lambda _: None)
    try:
        before = open_descriptors()
        with pytest.raises(OSError, match="in use"):
            open_shm_listener(SegmentLayout(4096, 4096), lambda _: None)
        assert open_descriptors() == before
    finally:
        listener.close()


def through(proxy: ChaosProxy, address: str, transport: Any) -> rlmesh.RemoteEnv[Any, Any]:
    """A client whose connections lead through a proxy."""
    proxy.lead_to(address)
    return client_of(f"tcp://{proxy.authority}", transport=transport)


def client_of(address: str, **settings: Any) -> rlmesh.RemoteEnv[Any, Any]:
    return rlmesh.RemoteEnv[Any, Any](address, **settings)
