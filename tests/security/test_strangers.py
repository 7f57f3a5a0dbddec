"""What somebody learns, and may do, who shows no token or another one: nothing."""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import socket
import threading
from collections.abc import Generator, Iterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

import rlmesh
from rlmesh.address import parse_address
from rlmesh.client.probing import (
    fetch_contract,
    fetch_status,
    request_shutdown,
    wait_until_serving,
)
from rlmesh.errors import AuthenticationError
from rlmesh.security import Credentials, Token
from rlmesh_api.v1 import env_service_pb2
from support.sample_envs import Gate, ScriptedEnv
from support.serving import serving

SECRET = "correct-horse-battery-staple"
SERVICE = "/rlmesh_api.v1.EnvService"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
HEALTH = "/grpc.health.v1.Health"
# Every method there is, whether its call is a stream, and one that there is not.
METHODS = {
    f"{SERVICE}/GetContract": False,
    f"{SERVICE}/GetStatus": False,
    f"{SERVICE}/Shutdown": False,
    f"{SERVICE}/Session": True,
    f"{SERVICE}/Watch": True,
    REFLECTION: True,
    f"{HEALTH}/List": False,
    "/no.such.Service/Method": False,
}
SHOWN: dict[str, list[tuple[str, str | bytes]]] = {
    "nothing": [],
    "another token": [("authorization", "Bearer another")],
    "no scheme": [("authorization", SECRET)],
    "another scheme": [("authorization", f"Basic {SECRET}")],
    "the beginning": [("authorization", f"Bearer {SECRET[:-1]}")],
    "more": [("authorization", f"Bearer {SECRET}x")],
    "an empty one": [("authorization", "")],
    "two": [("authorization", f"Bearer {SECRET}"), ("authorization", "Bearer another")],
    "another key": [("token", f"Bearer {SECRET}")],
    "bytes": [("authorization-bin", f"Bearer {SECRET}".encode())],
}


@pytest.fixture(scope="module")
def guarded() -> Generator[tuple[rlmesh.EnvServer, ScriptedEnv]]:
    env = ScriptedEnv()
    options = rlmesh.ServeOptions(allow_remote_shutdown=True)
    with serving(env, token=SECRET, options=options, direct="tcp://127.0.0.1:0") as server:
        yield server, env


def call(address: str, method: str, shown: list[tuple[str, str | bytes]]) -> grpc.RpcError:
    """What a raw client hears that calls a method, whatever comes of it."""
    with grpc.insecure_channel(parse_address(address).dial_target) as channel:
        if METHODS.get(method):
            # It never sends a message: nobody waits for one.
            quiet = threading.Event()

            def requests() -> Iterator[bytes]:
                quiet.wait(20)
                yield from ()

            made: Any = channel.stream_stream(method)
            try:
                with pytest.raises(grpc.RpcError) as caught:
                    next(made(requests(), metadata=shown, timeout=20))
            finally:
                quiet.set()
        else:
            single: Any = channel.unary_unary(method)
            with pytest.raises(grpc.RpcError) as caught:
                single(b"", metadata=shown, timeout=20)
    return caught.value


def told(error: Any) -> str:
    """All that an error and what came with it say."""
    said = [error.code().name, error.details(), *map(repr, error.trailing_metadata() or ())]
    return " ".join([*said, *map(repr, error.initial_metadata() or ())])


@pytest.mark.parametrize("shown", SHOWN)
@pytest.mark.parametrize("method", METHODS)
def test_every_method_refuses_who_does_not_show_the_token(
    guarded: tuple[rlmesh.EnvServer, ScriptedEnv], method: str, shown: str
) -> None:
    server, env = guarded
    error: Any = call(server.address, method, SHOWN[shown])
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    assert env.names() == []
    assert server.wait(0) is False


@pytest.mark.parametrize("method", METHODS)
def test_a_stranger_learns_nothing_about_the_host(
    guarded: tuple[rlmesh.EnvServer, ScriptedEnv], method: str
) -> None:
    server, _ = guarded
    said = told(call(server.address, method, SHOWN["another token"]))
    secrets = (
        SECRET,
        "another",
        socket.gethostname(),
        str(os.getpid()),
        rlmesh.__version__,
        platform.python_version(),
        server.env_contract.id,
        "Traceback",
        __file__,
    )
    assert [secret for secret in secrets if secret in said] == []


def test_a_stranger_hears_the_same_whatever_is_wrong(
    guarded: tuple[rlmesh.EnvServer, ScriptedEnv],
) -> None:
    server, _ = guarded
    answers = {
        (str(error.code()), error.details())
        for method in METHODS
        for shown in ("nothing", "the beginning")
        for error in [call(server.address, method, SHOWN[shown])]
        if isinstance(error, grpc.Call)
    }
    assert len(answers) == 1


# Shutdown would end the server of the other tests; see below.
@pytest.mark.parametrize("method", sorted(METHODS.keys() - {f"{SERVICE}/Shutdown"}))
def test_who_shows_the_token_is_let_in(
    guarded: tuple[rlmesh.EnvServer, ScriptedEnv], method: str
) -> None:
    server, _ = guarded
    shown = [("authorization", f"Bearer {SECRET}")]
    with grpc.insecure_channel(parse_address(server.address).dial_target) as channel:
        heard: list[Any] = []
        if METHODS[method]:
            # A stream that says nothing and ends.
            made: Any = channel.stream_stream(method)
            stream = made(iter(()), metadata=shown, timeout=20)
            with contextlib.suppress(grpc.RpcError):
                heard.extend(stream)
            code = stream.code()
        else:
            single: Any = channel.unary_unary(method)
            code = single.future(b"", metadata=shown, timeout=20).code()
        assert code is not grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bearer "])
def test_the_scheme_of_the_token_may_be_in_any_case(
    guarded: tuple[rlmesh.EnvServer, ScriptedEnv], scheme: str
) -> None:
    server, _ = guarded
    with grpc.insecure_channel(parse_address(server.address).dial_target) as channel:
        ask: Any = channel.unary_unary(f"{SERVICE}/GetStatus")
        assert ask(b"", metadata=[("authorization", f"{scheme} {SECRET}")], timeout=20)
        with pytest.raises(grpc.RpcError) as caught:
            ask(b"", metadata=[("authorization", f"{scheme} {SECRET.title()}")], timeout=20)
        assert isinstance(caught.value, grpc.Call)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_a_client_with_the_token_may_ask_for_everything() -> None:
    held = Credentials(token=Token(SECRET, "token"))
    options = rlmesh.ServeOptions(allow_remote_shutdown=True)
    with serving(ScriptedEnv(), token=SECRET, options=options) as server:
        contract, _ = fetch_contract(server.address, 20, held)
        assert contract == server.env_contract
        assert fetch_status(server.address, 20, held).state == "ready"
        request_shutdown(server.address, 20, held)
        assert server.wait(20)


@pytest.mark.parametrize("shown", [None, "another"])
def test_a_client_is_told_what_to_do(
    guarded: tuple[rlmesh.EnvServer, ScriptedEnv], shown: str | None
) -> None:
    server, _ = guarded
    held = Credentials(token=None if shown is None else Token(shown, "token"))
    asks = (
        lambda: rlmesh.RemoteEnv(server.address, token=shown),
        lambda: rlmesh.RemoteVectorEnv(server.address, token=shown),
        lambda: rlmesh.RemoteVectorEnv([server.address], token=shown),
        lambda: fetch_contract(server.address, 20, held),
        lambda: fetch_status(server.address, 20, held),
        lambda: request_shutdown(server.address, 20, held),
    )
    for ask in asks:
        with pytest.raises(AuthenticationError, match=r"with token= or RLMESH_TOKEN") as caught:
            ask()
        assert isinstance(caught.value, PermissionError)
        assert isinstance(caught.value, ConnectionError)


def test_both_sides_read_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLMESH_TOKEN", SECRET)
    with serving(ScriptedEnv()) as server:
        with rlmesh.RemoteEnv[Any, Any](server.address) as env:
            env.reset(seed=0)
        monkeypatch.delenv("RLMESH_TOKEN")
        with pytest.raises(AuthenticationError):
            rlmesh.RemoteEnv(server.address)


def test_health_is_answered_without_a_token(
    guarded: tuple[rlmesh.EnvServer, ScriptedEnv],
) -> None:
    server, _ = guarded
    wait_until_serving(server.address, 20)
    with grpc.insecure_channel(parse_address(server.address).dial_target) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=20)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        # That, and nothing else.
        assert [field.name for field, _ in answer.ListFields()] == ["status"]
        watched = stub.Watch(health_pb2.HealthCheckRequest(), timeout=20)
        assert next(watched).status == health_pb2.HealthCheckResponse.SERVING
        watched.cancel()


def test_status_is_told_to_those_with_the_token_while_the_environment_is_stuck() -> None:
    env, gate = ScriptedEnv(), Gate()
    env.script["reset"] = gate.wait
    with serving(env, token=SECRET) as server:
        client = rlmesh.RemoteEnv[Any, Any](server.address, token=SECRET)
        resetting = threading.Thread(target=client.reset)
        resetting.start()
        try:
            assert gate.reached.wait(20)
            with pytest.raises(AuthenticationError):
                fetch_status(server.address, 20)
            held = Credentials(token=Token(SECRET, "token"))
            assert fetch_status(server.address, 20, held).call == "reset"
        finally:
            gate.open()
            resetting.join(20)
            client.close()


def test_no_log_tells_a_token(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with serving(ScriptedEnv(), token=SECRET) as server:
        assert SECRET not in repr(server)
        with rlmesh.RemoteEnv[Any, Any](server.address, token=SECRET) as env:
            env.reset(seed=0)
            assert SECRET not in repr(env) + repr(env.env_contract) + repr(vars(env))
        with pytest.raises(AuthenticationError) as caught:
            rlmesh.RemoteEnv(server.address, token="a-wrong-guess")
    assert caplog.records
    for said in (caplog.text, str(caught.value), repr(caught.value)):
        assert SECRET not in said
        assert "a-wrong-guess" not in said


def test_a_refused_session_does_not_wait_for_a_message_and_leaves_no_thread(
    guarded: tuple[rlmesh.EnvServer, ScriptedEnv],
) -> None:
    server, _ = guarded
    with grpc.insecure_channel(parse_address(server.address).dial_target) as channel:
        method: Any = channel.stream_stream(f"{SERVICE}/Session")
        quiet = threading.Event()
        streams = [method(iter(lambda: quiet.wait(20) or b"", True)) for _ in range(50)]
        try:
            codes = {stream.code() for stream in streams}
        finally:
            quiet.set()
    assert codes == {grpc.StatusCode.UNAUTHENTICATED}
    serving_threads = [t for t in threading.enumerate() if t.name == "rlmesh-rpc"]
    for thread in serving_threads:
        thread.join(20)
        assert not thread.is_alive()


def test_a_server_may_have_a_client_connect_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the page says: 32 bytes, once, and the client goes on without."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        heard: list[bytes] = []

        def listen() -> None:
            peer, _ = listener.accept()
            with peer:
                heard.append(peer.recv(1000))

        thread = threading.Thread(target=listen)
        thread.start()
        elsewhere = f"127.0.0.1:{listener.getsockname()[1]}"
        monkeypatch.setattr("rlmesh.server.rpc.listeners._offered", lambda _: elsewhere)
        with (
            serving(ScriptedEnv(), direct="tcp://127.0.0.1:0") as server,
            rlmesh.RemoteEnv[Any, Any](server.address, transport="direct") as client,
        ):
            client.reset(seed=0)
            assert client.transport == "grpc"
        thread.join(20)
    assert [len(text) for text in heard] == [32]


def test_the_methods_are_all_there_are() -> None:
    (service,) = env_service_pb2.DESCRIPTOR.services_by_name.values()
    named = {f"/{service.full_name}/{method.name}" for method in service.methods}
    assert named == {method for method in METHODS if method.startswith(SERVICE)}
