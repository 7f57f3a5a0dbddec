"""Finding the endpoint: late servers, nobody there, strangers, the other kind."""

from __future__ import annotations

import contextlib
import http.server
import socket
import threading
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import gymnasium
import pytest

import rlmesh
from rlmesh.errors import (
    ArgumentTypeError,
    EndpointError,
    EndpointUnreachableError,
    InvalidAddressError,
    InvalidArgumentError,
    ProtocolError,
    RlmeshError,
    WrongEndpointKindError,
)
from rlmesh.transports.transport import exchange
from support.comparing import assert_same
from support.sample_envs import EchoEnv, ScriptedEnv, echo_vector
from support.serving import remote, serving

CLIENTS = [rlmesh.RemoteEnv, rlmesh.RemoteVectorEnv]
# How much later than its deadline a client may give up, on a busy machine.
SLACK = 5.0


@contextlib.contextmanager
def nobody() -> Generator[str]:
    """An address that is taken, and where no server answers."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"tcp://127.0.0.1:{taken.getsockname()[1]}"


@contextlib.contextmanager
def mute() -> Generator[str]:
    """A listener that takes connections and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"


@contextlib.contextmanager
def web() -> Generator[str]:
    """A web server."""

    class Quiet(http.server.BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"tcp://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def stranger() -> Generator[str]:
    """A gRPC server that knows nothing of RLMesh."""
    pool = ThreadPoolExecutor(2)
    server = grpc.server(pool)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"tcp://127.0.0.1:{port}"
    finally:
        server.stop(None).wait()
        pool.shutdown()


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("place", [nobody, mute, web])
def test_where_nobody_answers_the_deadline_holds(place: Any, client: Any) -> None:
    with place() as address:
        before = time.monotonic()
        with pytest.raises(EndpointUnreachableError, match="no server answers at") as caught:
            client(address, connect_timeout_seconds=0.3)
        waited = time.monotonic() - before
    assert isinstance(caught.value, ConnectionError)
    assert address in str(caught.value)
    assert "0.3 s" in str(caught.value)
    assert 0.3 <= waited < 0.3 + SLACK


def test_a_missing_socket_file_is_nobody(tmp_path: Path) -> None:
    with pytest.raises(EndpointUnreachableError, match=f"unix://{tmp_path}/none.sock"):
        rlmesh.RemoteEnv(f"unix://{tmp_path}/none.sock", connect_timeout_seconds=0.2)


def test_an_unknown_host_is_nobody() -> None:
    with pytest.raises(EndpointUnreachableError, match=r"nowhere\.invalid"):
        rlmesh.RemoteEnv("nowhere.invalid:5555", connect_timeout_seconds=0.2)


def test_a_server_that_never_started_is_nobody() -> None:
    server = rlmesh.EnvServer(ScriptedEnv())
    try:
        with pytest.raises(EndpointUnreachableError):
            rlmesh.RemoteEnv(server.address, connect_timeout_seconds=0.2)
    finally:
        server.shutdown()


def test_no_time_at_all_is_a_deadline_too() -> None:
    with nobody() as address, pytest.raises(EndpointUnreachableError):
        rlmesh.RemoteEnv(address, connect_timeout_seconds=0)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_grpc_server_of_somebody_else_is_told_at_once(client: Any) -> None:
    with stranger() as address:
        before = time.monotonic()
        with pytest.raises(ProtocolError, match="does not speak RLMesh") as caught:
            client(address, connect_timeout_seconds=60)
        assert time.monotonic() - before < 60
    assert isinstance(caught.value, EndpointError)


@pytest.mark.parametrize("timeout", [30.0, None], ids=["with a deadline", "without one"])
def test_a_server_that_starts_late_is_found(timeout: float | None, tmp_path: Path) -> None:
    path = tmp_path / "e.sock"
    connecting = threading.Event()
    clients: list[rlmesh.RemoteEnv[Any, Any]] = []

    def connect() -> None:
        connecting.set()
        clients.append(rlmesh.RemoteEnv(f"unix://{path}", connect_timeout_seconds=timeout))

    thread = threading.Thread(target=connect)
    thread.start()
    connecting.wait(10)
    thread.join(0.3)  # the client meets nobody a few times
    assert thread.is_alive()
    with serving(ScriptedEnv(), path=path):
        thread.join(30)
        (client,) = clients
        client.reset(seed=0)
        client.close()


def test_a_server_that_starts_late_on_a_port_is_found() -> None:
    server = rlmesh.EnvServer(ScriptedEnv())
    clients: list[rlmesh.RemoteEnv[Any, Any]] = []
    thread = threading.Thread(target=lambda: clients.append(rlmesh.RemoteEnv(server.address)))
    thread.start()
    thread.join(0.3)
    assert thread.is_alive()
    with server:
        thread.join(30)
        (client,) = clients
        client.close()


def test_a_single_client_refuses_a_vector_endpoint_and_names_the_right_class() -> None:
    with serving(echo_vector("box", 3)) as server:
        with pytest.raises(
            WrongEndpointKindError, match=r"3 sub-environments.*rlmesh\.RemoteVectorEnv"
        ) as e:
            rlmesh.RemoteEnv(server.address)
        assert isinstance(e.value, TypeError)
        rlmesh.RemoteVectorEnv(server.address).close()


def test_a_vector_client_refuses_a_single_endpoint_and_names_the_right_class() -> None:
    with serving(ScriptedEnv()) as server:
        with pytest.raises(WrongEndpointKindError, match=r"single environment.*rlmesh\.RemoteEnv"):
            rlmesh.RemoteVectorEnv(server.address)
        rlmesh.RemoteEnv(server.address).close()


def test_a_client_of_the_wrong_kind_does_not_take_the_environment() -> None:
    with serving(ScriptedEnv()) as server:
        with contextlib.closing(rlmesh.RemoteEnv(server.address)) as client:
            with pytest.raises(WrongEndpointKindError):
                rlmesh.RemoteVectorEnv(server.address)
            client.reset(seed=0)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    ("address", "kind", "builtin"),
    [
        ("", InvalidAddressError, ValueError),
        ("127.0.0.1", InvalidAddressError, ValueError),
        ("127.0.0.1:70000", InvalidAddressError, ValueError),
        ("127.0.0.1:0", InvalidAddressError, ValueError),
        ("http://127.0.0.1:5555", InvalidAddressError, ValueError),
        ("unix://relative.sock", InvalidAddressError, ValueError),
        (None, ArgumentTypeError, TypeError),
        (5555, ArgumentTypeError, TypeError),
    ],
)
def test_a_wrong_address_is_a_typed_error_at_once(
    client: Any, address: Any, kind: type[RlmeshError], builtin: type[Exception]
) -> None:
    with pytest.raises(kind) as caught:
        client(address)
    assert isinstance(caught.value, builtin)
    assert repr(address) in str(caught.value)


@pytest.mark.parametrize("reconnect", [None, 1, "no", float("nan")])
def test_whether_to_reconnect_is_true_or_false(reconnect: Any) -> None:
    with pytest.raises(ArgumentTypeError, match="reconnect must be True or False"):
        rlmesh.RemoteEnv("tcp://127.0.0.1:1", reconnect=reconnect)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("name", ["connect_timeout_seconds", "request_timeout_seconds"])
@pytest.mark.parametrize(
    ("value", "kind", "builtin"),
    [
        (-1, InvalidArgumentError, ValueError),
        (1e10, InvalidArgumentError, ValueError),
        (float("inf"), InvalidArgumentError, ValueError),
        (float("nan"), InvalidArgumentError, ValueError),
        ("10", ArgumentTypeError, TypeError),
        (True, ArgumentTypeError, TypeError),
        ((1,), ArgumentTypeError, TypeError),
    ],
)
def test_a_wrong_timeout_is_a_typed_error_at_once(
    client: Any, name: str, value: Any, kind: type[RlmeshError], builtin: type[Exception]
) -> None:
    with pytest.raises(kind, match=name) as caught:
        client("127.0.0.1:1", **{name: value})
    assert isinstance(caught.value, builtin)


@pytest.mark.parametrize("seconds", [60, 1e6, 1e9])
def test_a_long_timeout_is_taken(seconds: float) -> None:
    with serving(ScriptedEnv()) as server:
        with contextlib.closing(
            rlmesh.RemoteEnv(
                server.address, connect_timeout_seconds=seconds, request_timeout_seconds=seconds
            )
        ) as client:
            client.reset(seed=0)


def test_a_proxy_for_the_outside_world_is_not_asked_for_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with nobody() as address:
        for name in ("http_proxy", "https_proxy", "grpc_proxy"):
            monkeypatch.setenv(name, address.replace("tcp", "http"))
        with serving(ScriptedEnv()) as server:
            rlmesh.RemoteEnv(server.address).close()


def test_a_client_is_the_environment_that_gymnasium_expects() -> None:
    with serving(gymnasium.make("CartPole-v1", render_mode="rgb_array")) as server:
        with contextlib.closing(rlmesh.RemoteEnv(server.address)) as client:
            assert isinstance(client, gymnasium.Env)
            assert client.spec is not None
            assert client.spec.id == "CartPole-v1"
            assert client.spec.max_episode_steps == 500
            assert client.spec.kwargs == {"render_mode": "rgb_array"}
            assert client.metadata == gymnasium.make("CartPole-v1").metadata
            assert client.render_mode == "rgb_array"
            assert client.env_contract == server.env_contract
            assert client.transport == "shm"


def test_a_vector_client_is_the_vector_environment_that_gymnasium_expects() -> None:
    envs = gymnasium.make_vec("CartPole-v1", 3, vectorization_mode="sync")
    with serving(envs) as server:
        with contextlib.closing(rlmesh.RemoteVectorEnv(server.address)) as client:
            assert isinstance(client, gymnasium.vector.VectorEnv)
            assert client.num_envs == 3
            assert client.metadata == envs.metadata
            assert client.env_contract == server.env_contract
            assert client.closed is False
        assert client.closed is True


def test_a_client_is_a_context_manager_that_closes() -> None:
    with serving(ScriptedEnv()) as server:
        with rlmesh.RemoteEnv(server.address) as client:
            client.reset(seed=0)
        rlmesh.RemoteEnv(server.address).close()


def test_a_client_may_itself_be_served() -> None:
    def values(env: Any) -> list[Any]:
        env.action_space.seed(1)
        return [env.reset(seed=1), *(env.step(env.action_space.sample()) for _ in range(20))]

    expected = values(EchoEnv("nested"))
    with remote(EchoEnv("nested")) as near, remote(near) as far:
        assert_same(values(far), expected)


def test_an_environment_that_is_not_registered_here_has_no_spec() -> None:
    with serving(ScriptedEnv()) as server:
        with contextlib.closing(rlmesh.RemoteEnv(server.address)) as client:
            assert client.spec is None
            assert client.env_contract.id == "UnknownEnv-v1"


def test_a_session_that_opens_just_as_its_time_is_up_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def late_exchange(stream: Any, *arguments: Any) -> Any:
        answer = exchange(stream, *arguments)
        # As the timer of the deadline does.
        stream.expire()
        return answer

    monkeypatch.setattr("rlmesh.client.connection.exchange", late_exchange)
    with (
        serving(EchoEnv("box")) as server,
        pytest.raises(EndpointUnreachableError, match="in time"),
    ):
        rlmesh.RemoteEnv(server.address)
