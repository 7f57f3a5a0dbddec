"""Files that change while a server runs: the next connection gets what they hold then."""

from __future__ import annotations

import logging
import os
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

import rlmesh
from rlmesh.address import parse_address
from rlmesh.client.channel import ChannelFactory
from rlmesh.errors import AuthenticationError, InvalidCredentialsError, TlsError
from rlmesh.security import Credentials
from rlmesh_api.v1 import env_service_pb2, env_service_pb2_grpc
from support.certificates import Certificates
from support.sample_envs import ScriptedEnv
from support.serving import serving

TRANSPORTS: tuple[Any, ...] = ("direct", "grpc")
DIRECT = {"direct": "tcp://127.0.0.1:0"}


def serial_numbers(server: rlmesh.EnvServer, certificates: Certificates) -> set[str]:
    """Of the certificates that the server shows, over gRPC and at the direct transport."""
    found: set[str] = set()
    for address in (server.address, server.direct_address):
        at: Any = parse_address(str(address))
        context = ssl.create_default_context(cafile=certificates.path("ca.pem"))
        context.set_alpn_protocols(["h2"])
        with (
            socket.create_connection((at.host, at.port), 20) as sock,
            context.wrap_socket(sock, server_hostname=at.host) as talk,
        ):
            told: Any = talk.getpeercert()
            found.add(told["serialNumber"])
    return found


def test_a_renewed_certificate_is_shown_from_then_on(certificates: Certificates) -> None:
    with serving(ScriptedEnv(), tls=certificates.server(), **DIRECT) as server:
        (before,) = serial_numbers(server, certificates)
        assert serial_numbers(server, certificates) == {before}
        certificates.issue("server", "127.0.0.1")
        (after,) = serial_numbers(server, certificates)
        assert after != before


def test_a_session_goes_on_while_certificates_are_renewed(certificates: Certificates) -> None:
    with serving(ScriptedEnv(), tls=certificates.server(), **DIRECT) as server:
        for transport in TRANSPORTS:
            with rlmesh.RemoteEnv[Any, Any](
                server.address, tls=certificates.client(), transport=transport
            ) as client:
                client.reset(seed=0)
                certificates.issue("server", "127.0.0.1")
                serial_numbers(server, certificates)
                client.step(client.action_space.sample())
                assert client.transport == transport


def test_clients_of_a_new_authority_are_let_in_and_those_of_the_old_one_are_not(
    certificates: Certificates,
) -> None:
    with serving(ScriptedEnv(), tls=certificates.server(mutual=True), **DIRECT) as server:
        ours = certificates.client("client", ca="server.pem")
        theirs = certificates.client("stranger", ca="server.pem")
        for transport in TRANSPORTS:
            with rlmesh.RemoteEnv[Any, Any](
                server.address, tls=ours, transport=transport
            ) as client:
                assert client.transport == transport
        with pytest.raises(AuthenticationError):
            rlmesh.RemoteEnv(server.address, tls=theirs)
        os.replace(certificates.path("other-ca.pem"), certificates.path("ca.pem"))
        for transport in TRANSPORTS:
            with rlmesh.RemoteEnv[Any, Any](
                server.address, tls=theirs, transport=transport
            ) as client:
                assert client.transport == transport
        with pytest.raises(AuthenticationError):
            rlmesh.RemoteEnv(server.address, tls=ours)


def test_files_in_the_middle_of_a_change_are_not_used_and_the_log_says_so(
    certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "rlmesh.security")
    with serving(ScriptedEnv(), tls=certificates.server(), **DIRECT) as server:
        (before,) = serial_numbers(server, certificates)
        certificates.issue("fresh", "127.0.0.1")
        # The certificate is new, the key is still the old one.
        os.replace(certificates.path("fresh.pem"), certificates.path("server.pem"))
        for _ in range(3):
            assert serial_numbers(server, certificates) == {before}
        told = [record.getMessage() for record in caplog.records]
        assert len(told) == 1
        assert "are not used yet" in told[0]
        assert certificates.path("server.key") in told[0]
        os.replace(certificates.path("fresh.key"), certificates.path("server.key"))
        (after,) = serial_numbers(server, certificates)
        assert after != before
    assert "PRIVATE" not in caplog.text


def test_files_that_vanish_leave_the_server_as_it_is(certificates: Certificates) -> None:
    with serving(ScriptedEnv(), tls=certificates.server(), **DIRECT) as server:
        (before,) = serial_numbers(server, certificates)
        os.unlink(certificates.path("server.key"))
        assert serial_numbers(server, certificates) == {before}


def test_a_link_to_files_that_is_turned_is_followed(
    certificates: Certificates, tmp_path: Path
) -> None:
    # As Kubernetes replaces a mounted secret.
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        certificates.issue(f"{name}/server", "127.0.0.1")
    link = tmp_path / "now"
    link.symlink_to(tmp_path / "one")
    tls = rlmesh.ServerTLS(certificate=link / "server.pem", key=link / "server.key")
    with serving(ScriptedEnv(), tls=tls, **DIRECT) as server:
        (before,) = serial_numbers(server, certificates)
        fresh = tmp_path / "fresh"
        fresh.symlink_to(tmp_path / "two")
        fresh.replace(link)
        (after,) = serial_numbers(server, certificates)
        assert after != before


def test_a_client_that_connects_again_reads_its_files_again(certificates: Certificates) -> None:
    with serving(ScriptedEnv(), tls=certificates.server()) as server:
        held = Credentials(tls=certificates.client())
        access = ChannelFactory(parse_address(server.address), held)
        ca, other = Path(certificates.path("ca.pem")), Path(certificates.path("other-ca.pem"))
        ours = ca.read_bytes()

        def reached() -> bool:
            with access.channel() as channel:
                stub = env_service_pb2_grpc.EnvServiceStub(channel)
                try:
                    access.ask(stub.GetContract, env_service_pb2.GetContractRequest(), 20)
                except TlsError:
                    return False
                return True

        assert reached()
        ca.write_bytes(other.read_bytes())
        assert not reached()
        ca.write_bytes(ours)
        assert reached()


def test_a_client_that_connects_again_goes_on_with_what_it_has_where_files_are_half_done(
    certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(ScriptedEnv(), tls=certificates.server()) as server:
        access = ChannelFactory(
            parse_address(server.address), Credentials(tls=certificates.client())
        )
        access.channel().close()
        Path(certificates.path("ca.pem")).write_text("")
        with access.channel() as channel:
            stub = env_service_pb2_grpc.EnvServiceStub(channel)
            access.ask(stub.GetContract, env_service_pb2.GetContractRequest(), 20)
    assert "are not used yet" in caplog.text
    assert certificates.path("ca.pem") in caplog.text


def test_a_client_reads_its_files_whenever_it_connects(certificates: Certificates) -> None:
    other = trustme.CA()
    with serving(ScriptedEnv(), tls=certificates.server(mutual=True)) as server:
        tls = certificates.client("client")
        rlmesh.RemoteEnv(server.address, tls=tls).close()
        certificates.issue("client", "trainer@example.org", by=other)
        with pytest.raises(AuthenticationError):
            rlmesh.RemoteEnv(server.address, tls=tls)
        certificates.issue("client", "trainer@example.org")
        rlmesh.RemoteEnv(server.address, tls=tls).close()
        other.cert_pem.write_to_path(certificates.path("ca.pem"))
        with pytest.raises(TlsError):
            rlmesh.RemoteEnv(server.address, tls=tls)
        Path(certificates.path("ca.pem")).write_text("")
        with pytest.raises(InvalidCredentialsError):
            rlmesh.RemoteEnv(server.address, tls=tls)
