"""Every transport, with everything that may protect it, drives as it does without."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rlmesh
import rlmesh.numpy
from rlmesh.address import parse_address
from rlmesh.errors import InvalidAddressError
from support.certificates import Certificates
from support.plain_envs import PlainVector
from support.raw_sessions import raw_session
from support.sample_envs import ScriptedEnv, echo_vector
from support.serving import serving

TOKEN = "correct-horse-battery-staple"
PROTECTIONS = ("token", "TLS", "mutual TLS", "token and mutual TLS")
ACTION = np.array([0.5, -0.5], np.float32)


def sides(protection: str, certificates: Certificates) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a server and a client are given."""
    server: dict[str, Any] = {"direct": "tcp://127.0.0.1:0"}
    client: dict[str, Any] = {}
    if "token" in protection:
        server["token"] = client["token"] = TOKEN
    if "TLS" in protection:
        mutual = "mutual" in protection
        server["tls"] = certificates.server(mutual=mutual)
        client["tls"] = certificates.client("client" if mutual else None)
    return server, client


def drive(client: rlmesh.RemoteEnv[Any, Any]) -> None:
    client.reset(seed=3)
    for count in range(1, 6):
        observation, reward, *_ = client.step(ACTION)
        np.testing.assert_array_equal(observation, ACTION * count)
        assert reward == 1.0
    assert client.render() == "a picture"


@pytest.mark.parametrize("protection", PROTECTIONS)
@pytest.mark.parametrize("transport", ["shm", "direct", "grpc"])
def test_a_transport_is_had_and_drives(
    transport: Any, protection: str, certificates: Certificates
) -> None:
    at_server, at_client = sides(protection, certificates)
    with serving(ScriptedEnv(), **at_server) as server:
        for _ in range(2):
            with rlmesh.RemoteEnv[Any, Any](
                server.address, transport=transport, **at_client
            ) as client:
                assert client.transport == transport
                drive(client)


@pytest.mark.parametrize("protection", PROTECTIONS)
def test_a_unix_socket_is_protected_too(
    protection: str, certificates: Certificates, tmp_path: Path
) -> None:
    at_server, at_client = sides(protection, certificates)
    with serving(ScriptedEnv(), f"unix://{tmp_path}/env.sock", **at_server) as server:
        for transport in ("grpc", "shm"):
            with rlmesh.RemoteEnv[Any, Any](
                server.address, transport=transport, **at_client
            ) as client:
                assert client.transport == transport
                drive(client)


@pytest.mark.parametrize("transport", ["shm", "direct", "grpc"])
def test_vector_clients_and_those_of_several_endpoints_are_given_the_same(
    transport: Any, certificates: Certificates
) -> None:
    at_server, at_client = sides("token and mutual TLS", certificates)
    with (
        serving(PlainVector(), **at_server) as one,
        serving(echo_vector("box", 2), **at_server) as two,
        serving(echo_vector("box", 2), **at_server) as three,
    ):
        for client in (rlmesh.RemoteVectorEnv, rlmesh.numpy.RemoteVectorEnv):
            envs = client(one.address, transport=transport, **at_client)
            envs.reset(seed=0)
            envs.step(envs.action_space.sample())
            assert envs.transport == transport
            envs.close()
        several = rlmesh.RemoteVectorEnv[Any, Any](
            [two.address, three.address], transport=transport, **at_client
        )
        several.reset(seed=0)
        several.step(several.action_space.sample())
        assert (several.num_envs, several.transport) == (4, transport)
        several.close()


@pytest.mark.parametrize("nbytes", [1 << 10, 1 << 14, (1 << 16) + 7, 3_000_001])
def test_observations_of_any_size_cross_an_encrypted_connection(
    nbytes: int, certificates: Certificates
) -> None:
    at_server, at_client = sides("TLS", certificates)
    env = ScriptedEnv()
    env.observation_space = rlmesh.spaces.Box(0, 255, (nbytes,), np.uint8)  # type: ignore[assignment] # a space of ours
    given = np.random.default_rng(0).integers(0, 256, nbytes, np.uint8)
    env.script["reset"] = lambda: (given, {})
    with (
        serving(env, **at_server) as server,
        rlmesh.RemoteEnv[Any, Any](server.address, transport="direct", **at_client) as client,
    ):
        assert client.transport == "direct"
        for _ in range(3):
            np.testing.assert_array_equal(client.reset(seed=0)[0], given)


def spoken(address: str, context: ssl.SSLContext | None, secret: bytes) -> bytes:
    """What the direct transport's port answers to a secret: nothing, or a welcome."""
    at: Any = parse_address(address)
    with contextlib.ExitStack() as stack:
        sock = stack.enter_context(socket.create_connection((at.host, at.port), 20))
        try:
            if context is not None:
                sock = stack.enter_context(context.wrap_socket(sock, server_hostname=at.host))
            sock.sendall(secret)
            return sock.recv(100)
        except OSError:
            return b""


def trusting(certificates: Certificates) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificates.path("ca.pem"))


def test_the_direct_transport_admits_nobody_without_a_sessions_secret(
    certificates: Certificates,
) -> None:
    at_server, at_client = sides("token and mutual TLS", certificates)
    with serving(ScriptedEnv(), **at_server) as server:
        assert server.direct_address is not None
        knowing = trusting(certificates)
        knowing.load_cert_chain(certificates.path("client.pem"), certificates.path("client.key"))
        with rlmesh.RemoteEnv[Any, Any](server.address, transport="grpc", **at_client):
            assert spoken(server.direct_address, knowing, b"x" * 32) == b""


@pytest.mark.parametrize("protection", ["TLS", "mutual TLS"])
def test_the_direct_transport_is_encrypted_where_the_server_has_tls(
    protection: str, certificates: Certificates
) -> None:
    at_server, at_client = sides(protection, certificates)
    del at_client["tls"]
    with serving(ScriptedEnv(), token=TOKEN, **at_server) as server:
        assert server.direct_address is not None
        with session_secret(server, certificates) as secret:
            assert spoken(server.direct_address, None, secret) == b""
            welcome = b"\1" if protection == "TLS" else b""
            assert spoken(server.direct_address, trusting(certificates), secret) == welcome


@contextlib.contextmanager
def session_secret(server: rlmesh.EnvServer, certificates: Certificates) -> Generator[bytes]:
    """The secret of a session of that server."""
    tls = certificates.client("client")
    with rlmesh.RemoteEnv[Any, Any](server.address, transport="grpc", tls=tls, token=TOKEN):
        (session,) = server._life._manager.sessions()
        yield session.secret


def test_a_client_with_tls_shows_its_secret_to_no_other_server(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Where the direct transport should be, somebody else listens who has another certificate.
    certificates.issue("elsewhere", "localhost", "somewhere.example")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        heard: list[bytes] = []

        def listen() -> None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(
                certificates.path("elsewhere.pem"), certificates.path("elsewhere.key")
            )
            peer, _ = listener.accept()
            with contextlib.suppress(OSError), context.wrap_socket(peer, server_side=True) as talk:
                heard.append(talk.recv(100))
            peer.close()

        thread = threading.Thread(target=listen)
        thread.start()
        monkeypatch.setattr(
            "rlmesh.server.rpc.listeners._offered",
            lambda _: f"127.0.0.1:{listener.getsockname()[1]}",
        )
        at_server, at_client = sides("TLS", certificates)
        with (
            serving(ScriptedEnv(), **at_server) as server,
            rlmesh.RemoteEnv[Any, Any](server.address, transport="direct", **at_client) as client,
        ):
            assert client.transport == "grpc"
            drive(client)
        thread.join(20)
    assert b"".join(heard) == b""


def test_a_direct_transport_that_cannot_be_had_falls_back_to_the_encrypted_stream(
    certificates: Certificates,
) -> None:
    at_server, at_client = sides("TLS", certificates)
    with serving(ScriptedEnv(), **at_server) as server:
        server._listeners._listeners[-1].close()
        with rlmesh.RemoteEnv[Any, Any](server.address, transport="direct", **at_client) as client:
            assert client.transport == "grpc"
            drive(client)


@contextlib.contextmanager
def watched(target: str) -> Generator[tuple[str, bytearray]]:
    """A way to a server on which somebody watches; its address, and what he has seen."""
    at: Any = parse_address(target)
    seen = bytearray()
    threads: list[threading.Thread] = []

    def copy(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(1 << 16):
                seen.extend(piece)
                sink.sendall(piece)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def start(work: Any, *arguments: Any) -> None:
        threads.append(threading.Thread(target=work, args=arguments))
        threads[-1].start()

    def meet() -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = listener.accept()
                stack.enter_context(peer)
                host = stack.enter_context(socket.create_connection((at.host, at.port)))
                start(copy, peer, host)
                start(copy, host, peer)

    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        start(meet)
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}", seen
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join(20)


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("transport", ["direct", "grpc"])
def test_nothing_readable_crosses_where_there_is_tls(
    transport: Any, encrypted: bool, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_server, at_client = sides("token and TLS" if encrypted else "token", certificates)
    env = ScriptedEnv()
    env.script["render"] = lambda: "a picture of a secret" * 9
    server = rlmesh.EnvServer(env, **at_server)
    with (
        watched(server.address) as (address, seen),
        watched(str(server.direct_address)) as (direct, seen_too),
    ):
        monkeypatch.setattr("rlmesh.server.rpc.listeners._offered", lambda _: direct)
        with (
            server,
            rlmesh.RemoteEnv[Any, Any](address, transport=transport, **at_client) as client,
        ):
            assert client.transport == transport
            client.reset(seed=0)
            assert client.render() == "a picture of a secret" * 9
    crossed = bytes(seen + seen_too)
    for text in (TOKEN, "a picture of a secret", "UnknownEnv-v1", "rlmesh_api.v1.EnvService"):
        # Metadata may be compressed, so its absence alone would prove nothing about plaintext.
        if encrypted or text not in (TOKEN, "rlmesh_api.v1.EnvService"):
            assert (text.encode() in crossed) is not encrypted


def test_hostile_handshakes_keep_nobody_else_waiting(certificates: Certificates) -> None:
    at_server, at_client = sides("mutual TLS", certificates)
    with serving(ScriptedEnv(), **at_server) as server, contextlib.ExitStack() as stack:
        for address in (server.address, server.direct_address):
            at: Any = parse_address(str(address))
            for hello in (b"", b"\x16\x03\x01", b"\x16\x03\x01\x40\x00\x01" + bytes(50)):
                rude = stack.enter_context(socket.create_connection((at.host, at.port), 20))
                rude.sendall(hello)
        with rlmesh.RemoteEnv[Any, Any](server.address, transport="direct", **at_client) as client:
            assert client.transport == "direct"
            drive(client)


@pytest.mark.parametrize("noise", [b"GET / HTTP/1.1\r\n\r\n", bytes(4096), b"\x16\x03\x01\xff\xff"])
def test_noise_at_an_encrypted_port_ends_only_its_own_connection(
    noise: bytes, certificates: Certificates
) -> None:
    at_server, at_client = sides("TLS", certificates)
    with serving(ScriptedEnv(), **at_server) as server:
        for address in (server.address, server.direct_address):
            at: Any = parse_address(str(address))
            with socket.create_connection((at.host, at.port), 20) as rude:
                rude.sendall(noise)
                rude.shutdown(socket.SHUT_WR)
                with contextlib.suppress(ConnectionError):
                    while rude.recv(4096):
                        pass
        with rlmesh.RemoteEnv[Any, Any](server.address, transport="direct", **at_client) as client:
            assert client.transport == "direct"
            drive(client)


@pytest.mark.parametrize("where", ["address", "direct"])
def test_a_public_address_is_refused_unless_somebody_guards_it(
    where: str, certificates: Certificates
) -> None:
    public: dict[str, Any] = {where: "tcp://0.0.0.0:0"}
    with pytest.raises(InvalidAddressError, match=r"token=.*tls=.*insecure=True"):
        rlmesh.EnvServer(ScriptedEnv(), **public)
    ways: list[dict[str, Any]] = [
        {"token": TOKEN},
        {"tls": certificates.server()},
        {"insecure": True},
    ]
    for guarding in ways:
        rlmesh.EnvServer(ScriptedEnv(), **public, **guarding).shutdown()


def test_the_variable_guards_a_public_address_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLMESH_TOKEN", TOKEN)
    rlmesh.EnvServer(ScriptedEnv(), "tcp://0.0.0.0:0").shutdown()


def test_a_session_without_a_token_cannot_be_opened_by_hand() -> None:
    with serving(ScriptedEnv(), token=TOKEN) as server:
        with pytest.raises(Exception, match="UNAUTHENTICATED"), raw_session(server.address):
            pass
