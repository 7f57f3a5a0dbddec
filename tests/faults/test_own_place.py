"""A client that has lost its session gets its own place back, or gives it up."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Generator
from typing import Any

import numpy as np
import pytest

import rlmesh
from rlmesh.errors import EndpointBusyError, ProtocolError, SessionLostError
from rlmesh.transports.grpc import options as grpc_options
from rlmesh_api.v1 import env_service_pb2, env_service_pb2_grpc, session_pb2
from support.raw_sessions import raw_session
from support.sample_envs import Gate, ScriptedEnv
from support.serving import served_process, serving
from support.watching import channel_to, status_of, status_when

TRANSPORTS = ["grpc", "shm", "direct"]
EVERY_TRANSPORT = pytest.mark.parametrize("transport", TRANSPORTS)
ACTION = np.array([0.5, -0.25], np.float32)
LONG = rlmesh.ServeOptions(resume_timeout_seconds=3600)
SENSELESS = session_pb2.AttributeCall(name="level")


def served(env: ScriptedEnv, options: rlmesh.ServeOptions = LONG) -> Any:
    return serving(env, direct="tcp://127.0.0.1:0", options=options)


@contextlib.contextmanager
def driven(
    transport: Any, keeps: float
) -> Generator[tuple[rlmesh.EnvServer, rlmesh.RemoteEnv[Any, Any]]]:
    """A server that keeps a session for `keeps` seconds, and a client that has reset it."""
    options = rlmesh.ServeOptions(resume_timeout_seconds=keeps)
    with (
        served(ScriptedEnv(), options) as server,
        contextlib.closing(
            rlmesh.RemoteEnv[Any, Any](server.address, transport=transport)
        ) as client,
    ):
        client.reset()
        yield server, client


@pytest.mark.parametrize("keeps", [0, 3600])
@EVERY_TRANSPORT
def test_after_a_protocol_error_a_reset_takes_the_clients_own_place(
    transport: Any, keeps: float
) -> None:
    with driven(transport, keeps) as (_, client):
        for _ in range(10):
            calls: Any = client._env_client._call_client
            with pytest.raises(ProtocolError):
                calls.exchange(session_pb2.SessionRequest(attribute=SENSELESS))
            client.reset()
            client.step(ACTION)
        assert client.transport == transport


@pytest.mark.parametrize("keeps", [0, 3600])
@EVERY_TRANSPORT
def test_a_session_that_only_the_client_takes_for_lost_is_replaced(
    transport: Any, keeps: float
) -> None:
    with driven(transport, keeps) as (server, client):
        for _ in range(10):
            client._env_client._call_client._note(ProtocolError("the answer was damaged"))
            client.reset()
            client.step(ACTION)
        assert len(status_of(server.address).sessions) == 1


@EVERY_TRANSPORT
def test_a_client_that_closes_after_it_has_lost_its_session_gives_its_place_up(
    transport: Any,
) -> None:
    with served(ScriptedEnv()) as server:
        client = rlmesh.RemoteEnv[Any, Any](server.address, transport=transport)
        client.reset()
        client._env_client._call_client._note(SessionLostError("it could not be reached"))
        client.close()
        rlmesh.RemoteEnv[Any, Any](server.address, busy_timeout_seconds=20).close()


@pytest.mark.parametrize("transport", ["grpc", "direct"])
def test_after_a_server_was_suspended_a_reset_takes_the_clients_own_place(
    transport: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc_options, "PING_SECONDS", 0.3)
    monkeypatch.setattr(grpc_options, "SERVER_PONG_SECONDS", 0.3)
    with (
        served_process("scripted", "--direct", "--resume", "0.5") as server,
        contextlib.closing(
            rlmesh.RemoteEnv[Any, Any](server.address, transport=transport)
        ) as client,
    ):
        client.reset()
        server.send(signal.SIGSTOP)
        try:
            with pytest.raises(SessionLostError):
                client.step(ACTION)
        finally:
            server.send(signal.SIGCONT)
        client.reset()
        client.step(ACTION)
        assert client.transport == transport


def test_on_shm_a_call_outlasts_a_suspension_of_the_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(grpc_options, "PING_SECONDS", 0.3)
    monkeypatch.setattr(grpc_options, "SERVER_PONG_SECONDS", 0.3)
    with (
        served_process("scripted", "--resume", "0.5") as server,
        contextlib.closing(rlmesh.RemoteEnv[Any, Any](server.address, transport="shm")) as client,
    ):
        client.reset()
        server.send(signal.SIGSTOP)
        continuing = threading.Timer(2, server.send, [signal.SIGCONT])
        continuing.start()
        try:
            client.step(ACTION)
        finally:
            continuing.join()
        client.reset()
        client.step(ACTION)


def test_who_replaces_a_session_goes_before_those_who_wait() -> None:
    with served(ScriptedEnv()) as server, raw_session(server.address, resumes=True) as former:
        found: list[session_pb2.SessionResponse] = []

        def wait() -> None:
            with raw_session(server.address, wait_seconds=20) as other:
                found.append(other.answer)

        waiting = threading.Thread(target=wait)
        manager: Any = server._life._manager
        waiting.start()
        pause = threading.Event()
        while not manager._admission._queue:
            pause.wait(0.005)
        with raw_session(server.address, replaces=former.secret) as second:
            assert second.answer.WhichOneof("answer") == "open"
            assert second.call(2, reset=session_pb2.ResetCall()).WhichOneof("answer") == "reset"
            assert not found
            former.wait_until_ended()
        waiting.join(20)
        assert found[0].WhichOneof("answer") == "open"


def test_a_place_whose_environment_is_in_a_call_is_taken_over_once_it_returns() -> None:
    env, gate = ScriptedEnv(), Gate()
    env.script["reset"] = gate.wait
    with served(env) as server, raw_session(server.address, resumes=True) as former:
        former.send(2, reset=session_pb2.ResetCall())
        assert gate.reached.wait(20)
        answers: list[session_pb2.SessionResponse] = []

        def replace() -> None:
            with raw_session(server.address, replaces=former.secret) as second:
                answers.append(second.answer)

        replacing = threading.Thread(target=replace)
        replacing.start()
        former.wait_until_ended()
        assert not answers
        gate.open()
        replacing.join(20)
        assert answers[0].WhichOneof("answer") == "open"


def test_another_secret_takes_nobodys_place() -> None:
    with served(ScriptedEnv()) as server, raw_session(server.address) as former:
        with raw_session(server.address, replaces=b"?" * 32) as second:
            assert second.answer.failure.code == session_pb2.ERROR_CODE_BUSY
        assert former.call(2, reset=session_pb2.ResetCall()).WhichOneof("answer") == "reset"
        with pytest.raises(EndpointBusyError):
            rlmesh.RemoteEnv[Any, Any](server.address)
        status_when(server.address, lambda told: len(told.sessions) == 1)


def test_a_session_whose_client_gave_up_before_it_was_open_is_not_kept() -> None:
    gate, made = Gate(), list[ScriptedEnv]()

    def make() -> ScriptedEnv:
        if made:
            gate.wait()
        made.append(ScriptedEnv())
        return made[-1]

    with (
        serving(make, sessions=2, options=LONG) as server,
        raw_session(server.address),
        channel_to(server.address) as channel,
    ):
        stub = env_service_pb2_grpc.EnvServiceStub(channel)
        call = session_pb2.OpenCall(protocol_generation=1, resumes=True)
        stream: Any = stub.Session(iter([session_pb2.SessionRequest(sequence=1, open=call)]))
        try:
            assert gate.reached.wait(20)
            stream.cancel()
            # By the same connection: the server has heard of the end of the stream before.
            told = stub.GetStatus(env_service_pb2.GetStatusRequest(), timeout=20)
            assert len(told.sessions) == 2
        finally:
            gate.open()
        status_when(server.address, lambda told: len(told.sessions) == 1)
