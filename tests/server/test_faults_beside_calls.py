"""What goes wrong on a server beside the environment's calls ends a session, and not the server."""

from __future__ import annotations

import contextlib
import functools
import logging
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rlmesh
from rlmesh.server.sessions.session import Session
from rlmesh_api.v1 import session_pb2
from support.descriptors import free_descriptors
from support.raw_sessions import raw_session
from support.sample_envs import ScriptedEnv
from support.serving import serving, start_python
from support.watching import status_of, status_when

TRANSPORTS = pytest.mark.parametrize("transport", ["grpc", "shm", "direct"])
LARGE = 64 * 2**20


def session_of(server: rlmesh.EnvServer) -> Session:
    (session,) = server._life._manager.sessions()
    return session


def no_memory(*_: Any) -> Any:
    raise MemoryError


def break_receive(receiver: Any) -> None:
    receiver._receive = no_memory


def break_send(receiver: Any) -> None:
    receiver._pipe = Unsending(receiver._pipe)


class Unsending:
    """A pipe that has no memory for an answer."""

    def __init__(self, pipe: Any) -> None:
        self._pipe = pipe

    def post(self, start: int, end: int) -> None:
        raise MemoryError

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipe, name)


@TRANSPORTS
@pytest.mark.parametrize("fault", [break_receive, break_send])
def test_no_memory_for_a_message_ends_the_session_and_the_next_client_is_served(
    transport: Any, fault: Callable[[Any], None], caplog: pytest.LogCaptureFixture
) -> None:
    action = np.zeros(2, np.float32)
    with serving(ScriptedEnv(), direct="tcp://127.0.0.1:0") as server:
        client: Any = rlmesh.RemoteEnv(server.address, transport=transport, reconnect=False)
        client.reset()
        fault(session_of(server).receiver)
        with caplog.at_level(logging.CRITICAL, "rlmesh.server"):
            # The receiver that waits at this moment takes one more request.
            with pytest.raises(rlmesh.RlmeshError):
                _ = [client.step(action) for _ in range(3)]
            status_when(server.address, lambda status: not status.sessions)
        client.close()
        with contextlib.closing(rlmesh.RemoteEnv[Any, Any](server.address)) as other:
            other.reset()
            assert other.step(action)[1] == 1.0


@TRANSPORTS
def test_a_session_that_is_lost_while_no_descriptor_is_free_gives_its_place_back(
    transport: Any,
) -> None:
    options = rlmesh.ServeOptions(resume_timeout_seconds=0.3)
    with serving(ScriptedEnv(), direct="tcp://127.0.0.1:0", options=options) as server:
        with raw_session(server.address, resumes=True) as session:
            pipe = None if transport == "grpc" else session.pipe(transport)
            held = session_of(server)
            with free_descriptors(0):
                if pipe is not None:
                    pipe.release()
                session.close()
                pause, until = threading.Event(), time.monotonic() + 20
                while held.state.value != "released":
                    assert time.monotonic() < until, held.state
                    pause.wait(0.01)
        with contextlib.closing(rlmesh.RemoteEnv[Any, Any](server.address)) as other:
            other.reset()


@TRANSPORTS
def test_a_client_that_does_not_read_its_answer_delays_a_shutdown_for_seconds_at_most(
    transport: Any,
) -> None:
    env = ScriptedEnv()
    env.script["render"] = lambda: "x" * LARGE
    server = rlmesh.EnvServer(env, direct="tcp://127.0.0.1:0")
    server.start()
    with contextlib.ExitStack() as undo:
        undo.callback(server.shutdown)
        session = undo.enter_context(raw_session(server.address))
        request: Any = {"render": session_pb2.RenderCall()}
        if transport == "grpc":
            session.send(2, **request)
        else:
            pipe = session.pipe(transport)
            undo.callback(pipe.release)
            pipe.send(session_pb2.SessionRequest(sequence=2, **request).SerializeToString())
        status_when(server.address, lambda status: "render" in env.names() and not status.call)
        ending = threading.Thread(target=server.shutdown)
        ending.start()
        ending.join(20)
        assert not ending.is_alive(), "the shutdown waits for a client that does not read"
        assert "close" in env.names()


def test_an_answer_that_cannot_be_written_says_so_and_the_session_goes_on() -> None:
    env = ScriptedEnv()
    with (
        serving(env) as server,
        contextlib.closing(rlmesh.RemoteEnv[Any, Any](server.address)) as client,
    ):
        client.reset()
        env.script["step"] = no_memory
        with pytest.raises(rlmesh.errors.RemoteEnvError, match="MemoryError"):
            client.step(np.zeros(2, np.float32))
        env.script.clear()
        client.reset()
        assert client.step(np.zeros(2, np.float32))[1] == 1.0
        assert status_of(server.address).sessions[0].failures == 1


SMALL_MEMORY = """
import resource
import sys
import threading
import rlmesh
from support.sample_envs import ScriptedEnv

# Threads reserve little.
threading.stack_size(1 << 20)
with rlmesh.EnvServer(ScriptedEnv, sessions=2, direct="tcp://127.0.0.1:0") as server:
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (200 << 20),) * 2)
    print(server.address, flush=True)
    sys.stdin.readline()
"""


@TRANSPORTS
def test_a_request_beyond_the_memory_of_a_server_ends_its_own_session_only(
    transport: Any,
) -> None:
    action = np.zeros(2, np.float32)
    too_much = {"x": np.zeros(300 << 20, np.uint8)}
    server = start_python(
        ["-c", SMALL_MEMORY],
        prefix=("env", "MALLOC_ARENA_MAX=1"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with server, contextlib.ExitStack() as undo:
        undo.callback(server.kill)
        assert server.stdin is not None
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        connect = functools.partial(rlmesh.RemoteEnv[Any, Any], address, busy_timeout_seconds=20)
        neighbour = undo.enter_context(contextlib.closing(connect(transport="grpc")))
        neighbour.reset()
        client = connect(transport=transport, request_timeout_seconds=5, reconnect=False)
        with contextlib.closing(client), pytest.raises(rlmesh.RlmeshError):
            client.reset(options=too_much)
        assert neighbour.step(action)[1] == 1.0
        with contextlib.closing(connect(transport=transport)) as other:
            other.reset()
            assert other.step(action)[1] == 1.0
        neighbour.close()
        server.stdin.write("\n")
        server.stdin.close()
        assert server.wait(20) == 0
