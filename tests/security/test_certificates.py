"""Files of certificates and keys: what is wrong with them is told before anything is bound."""

from __future__ import annotations

import datetime as dt
import os
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

import rlmesh
from rlmesh.errors import ArgumentTypeError, InvalidCredentialsError
from rlmesh.transports.certificates import read_certificates, system_authorities
from support.certificates import LONG_AGO, TOMORROW, YESTERDAY, Certificates
from support.sample_envs import ScriptedEnv
from support.serving import serving

DAY = dt.timedelta(days=1)


def missing(made: Certificates, name: str) -> None:
    os.unlink(made.path(name))


def a_folder(made: Certificates, name: str) -> None:
    os.unlink(made.path(name))
    os.mkdir(made.path(name))


def empty(made: Certificates, name: str) -> None:
    Path(made.path(name)).write_bytes(b"")


def noise(made: Certificates, name: str) -> None:
    Path(made.path(name)).write_bytes(os.urandom(500))


def damaged(made: Certificates, name: str) -> None:
    kind = "PRIVATE KEY" if name.endswith(".key") else "CERTIFICATE"
    Path(made.path(name)).write_text(f"-----BEGIN {kind}-----\nAAAA\n-----END {kind}-----\n")


def cut_off(made: Certificates, name: str) -> None:
    path = Path(made.path(name))
    path.write_bytes(path.read_bytes()[:100])


HARMS = {
    "missing": (missing, "cannot be read: No such file"),
    "a folder": (a_folder, "cannot be read: Is a directory"),
    "empty": (empty, "holds no (certificate|private key)"),
    "noise": (noise, "holds no (certificate|private key)"),
    "damaged": (damaged, "damaged certificate|cannot be used"),
    "cut off": (cut_off, "holds no certificate|cannot be used"),
}


def server_side(made: Certificates) -> object:
    return rlmesh.EnvServer(ScriptedEnv(), "tcp://0.0.0.0:0", tls=made.server(mutual=True))


def client_side(made: Certificates) -> object:
    return rlmesh.RemoteEnv("127.0.0.1:1", tls=made.client("client"))


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize(
    ("make", "name"),
    [
        (server_side, "server.pem"),
        (server_side, "server.key"),
        (server_side, "ca.pem"),
        (client_side, "client.pem"),
        (client_side, "client.key"),
        (client_side, "ca.pem"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_the_remedy(
    make: Callable[[Certificates], object], name: str, harm: str, certificates: Certificates
) -> None:
    spoil, expected = HARMS[harm]
    spoil(certificates, name)
    with pytest.raises(InvalidCredentialsError, match=expected) as caught:
        make(certificates)
    assert certificates.path(name) in str(caught.value)
    assert "; " in str(caught.value)
    assert isinstance(caught.value, ValueError)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(certificates: Certificates) -> None:
    os.chmod(certificates.path("server.key"), 0)
    with pytest.raises(InvalidCredentialsError, match="Permission denied"):
        server_side(certificates)


@pytest.mark.parametrize(("make", "name"), [(server_side, "server"), (client_side, "client")])
def test_a_key_of_another_certificate_is_told(
    make: Callable[[Certificates], object], name: str, certificates: Certificates
) -> None:
    certificates.issue("another", "localhost")
    os.replace(certificates.path("another.key"), certificates.path(f"{name}.key"))
    with pytest.raises(InvalidCredentialsError, match=rf"key .*{name}\.key does not fit"):
        make(certificates)


@pytest.mark.parametrize(("make", "name"), [(server_side, "server"), (client_side, "client")])
def test_an_expired_certificate_is_told(
    make: Callable[[Certificates], object], name: str, certificates: Certificates
) -> None:
    certificates.issue(name, "127.0.0.1", not_before=LONG_AGO, not_after=YESTERDAY)
    with pytest.raises(InvalidCredentialsError, match=rf"{name}\.pem .*expired at 20.*; renew it"):
        make(certificates)


@pytest.mark.parametrize(("make", "name"), [(server_side, "server"), (client_side, "client")])
def test_a_certificate_of_tomorrow_is_told(
    make: Callable[[Certificates], object], name: str, certificates: Certificates
) -> None:
    certificates.issue(name, "127.0.0.1", not_before=TOMORROW, not_after=TOMORROW + DAY)
    with pytest.raises(InvalidCredentialsError, match=rf"{name}\.pem .*valid from"):
        make(certificates)


@pytest.mark.parametrize(
    "years", [1951, 1999, 2001, 2026, 2049, 2050, 2051, 2199], ids=lambda year: f"until {year}"
)
def test_the_end_of_a_certificate_is_read_in_both_forms(
    years: int, certificates: Certificates
) -> None:
    end = dt.datetime(years, 6, 1, tzinfo=dt.timezone.utc)
    certificates.issue(
        "odd", "x", not_before=dt.datetime(1950, 1, 2, tzinfo=dt.timezone.utc), not_after=end
    )
    if end > dt.datetime.now(dt.timezone.utc):
        read_certificates(certificates.path("odd.pem"), "it")
    else:
        with pytest.raises(InvalidCredentialsError, match=f"expired at {years}-06-01 00:00"):
            read_certificates(certificates.path("odd.pem"), "it")


def test_a_key_with_a_passphrase_is_told_and_nobody_is_asked_for_it(
    certificates: Certificates,
) -> None:
    path = Path(certificates.path("server.key"))
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    for form in (
        serialization.PrivateFormat.PKCS8,
        serialization.PrivateFormat.TraditionalOpenSSL,
    ):
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, form, serialization.BestAvailableEncryption(b"secret")
            )
        )
        with pytest.raises(InvalidCredentialsError, match=r"server\.key needs a passphrase"):
            server_side(certificates)


def test_a_key_of_any_usual_kind_is_taken(certificates: Certificates) -> None:
    for kind in trustme.KeyType:
        certificates.issue("server", "127.0.0.1", key_type=kind)
        with (
            serving(ScriptedEnv(), tls=certificates.server()) as server,
            rlmesh.RemoteEnv[Any, Any](server.address, tls=certificates.client()) as client,
        ):
            client.reset(seed=0)


def test_a_chain_over_an_intermediate_authority_is_taken(certificates: Certificates) -> None:
    between = trustme.CA(parent_cert=certificates.authority)
    certificates.issue("server", "127.0.0.1", by=between)
    direct = {"direct": "tcp://127.0.0.1:0"}
    with serving(ScriptedEnv(), tls=certificates.server(), **direct) as server:
        for transport in ("direct", "grpc"):
            with rlmesh.RemoteEnv[Any, Any](
                server.address, tls=certificates.client(), transport=transport
            ) as client:
                assert client.transport == transport


def test_a_certificate_may_be_trusted_by_itself(certificates: Certificates) -> None:
    direct = {"direct": "tcp://127.0.0.1:0"}
    with serving(ScriptedEnv(), tls=certificates.server(), **direct) as server:
        for transport in ("direct", "grpc"):
            tls = certificates.client(ca="server.pem")
            with rlmesh.RemoteEnv[Any, Any](server.address, tls=tls, transport=transport) as client:
                assert client.transport == transport


def test_an_authority_that_has_expired_among_others_does_no_harm(
    certificates: Certificates,
) -> None:
    certificates.issue("old", "x", not_before=LONG_AGO, not_after=YESTERDAY)
    ca, old = Path(certificates.path("ca.pem")), Path(certificates.path("old.pem"))
    ca.write_bytes(old.read_bytes() + ca.read_bytes())
    with (
        serving(ScriptedEnv(), tls=certificates.server()) as server,
        rlmesh.RemoteEnv[Any, Any](server.address, tls=certificates.client()) as client,
    ):
        client.reset(seed=0)


def test_nothing_is_left_bound_by_a_refused_certificate(certificates: Certificates) -> None:
    with serving(ScriptedEnv()) as server:
        address = server.address
    empty(certificates, "server.key")
    for direct in (None, address):
        with pytest.raises(InvalidCredentialsError):
            rlmesh.EnvServer(
                ScriptedEnv(),
                "tcp://127.0.0.1:0" if direct else address,
                direct=direct,
                tls=certificates.server(),
            )
    with serving(ScriptedEnv(), address):
        pass


@pytest.mark.parametrize(
    "make",
    [
        lambda: rlmesh.ServerTLS(certificate=b"c", key="k"),  # type: ignore[arg-type] # the point
        lambda: rlmesh.ServerTLS(certificate="c", key=None),  # type: ignore[arg-type] # the point
        lambda: rlmesh.ServerTLS(certificate="c", key="k", client_ca=True),  # type: ignore[arg-type] # the point
        lambda: rlmesh.ClientTLS(ca=5),  # type: ignore[arg-type] # the point
        lambda: rlmesh.ClientTLS(server_name=b"x"),  # type: ignore[arg-type] # the point
        lambda: rlmesh.EnvServer(ScriptedEnv(), tls=True),  # type: ignore[arg-type] # the point
        lambda: rlmesh.EnvServer(ScriptedEnv(), tls=rlmesh.ClientTLS()),  # type: ignore[arg-type] # the point
        lambda: rlmesh.RemoteEnv("1", tls=True),  # type: ignore[arg-type] # the point
        lambda: rlmesh.RemoteVectorEnv("1", tls="ca.pem"),  # type: ignore[arg-type] # the point
    ],
)
def test_what_is_no_path_and_no_tls_is_a_type_error(make: Callable[[], object]) -> None:
    with pytest.raises(ArgumentTypeError):
        make()


@pytest.mark.parametrize("given", [{"certificate": "c.pem"}, {"key": "c.key"}])
def test_a_client_certificate_and_its_key_go_together(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidCredentialsError, match="both certificate= and key="):
        rlmesh.ClientTLS(**given)


def test_an_empty_server_name_is_refused() -> None:
    with pytest.raises(InvalidCredentialsError, match="server_name"):
        rlmesh.ClientTLS(server_name="")


def test_the_authorities_of_this_machine_are_those_of_openssl(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", certificates.path("ca.pem"))
    assert system_authorities() == Path(certificates.path("ca.pem")).read_bytes()
    with (
        serving(ScriptedEnv(), tls=certificates.server(), direct="tcp://127.0.0.1:0") as server,
        rlmesh.RemoteEnv[Any, Any](
            server.address, tls=rlmesh.ClientTLS(), transport="direct"
        ) as client,
    ):
        assert client.transport == "direct"


def test_a_folder_of_authorities_is_read_as_openssl_does(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "certs"
    folder.mkdir()
    (folder / "0123abcd.0").write_bytes(Path(certificates.path("ca.pem")).read_bytes())
    (folder / "README").write_text("no certificate")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("SSL_CERT_DIR", str(folder))
    assert ssl.PEM_HEADER.encode() in system_authorities()
    assert b"no certificate" not in system_authorities()
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    with pytest.raises(InvalidCredentialsError, match=r"ClientTLS\(ca=PATH\)"):
        system_authorities()


def test_settings_of_tls_are_values(certificates: Certificates) -> None:
    one, other = certificates.server(), certificates.server()
    assert one == other
    assert hash(one) == hash(other)
    assert "PRIVATE" not in repr(one)
