"""Why no connection can be made: each reason is a typed error that says what to do, in time."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

import rlmesh
from rlmesh.client.probing import fetch_contract, wait_until_serving
from rlmesh.errors import (
    AuthenticationError,
    EndpointError,
    EndpointUnreachableError,
    TlsError,
)
from rlmesh.security import Credentials
from support.certificates import LONG_AGO, YESTERDAY, Certificates
from support.sample_envs import ScriptedEnv
from support.serving import serving

# Long enough that an error which came only after it would show.
PATIENCE = 60.0


def plain(made: Certificates) -> rlmesh.ClientTLS | None:
    return None


CASES: dict[str, tuple[bool, Callable[[Certificates], Any], type[EndpointError], str]] = {
    # Whether the server asks for certificates, what the client has, and what it is told.
    "no TLS": (False, plain, TlsError, r"uses TLS and this client does not; pass tls="),
    "no TLS, mutual": (True, plain, TlsError, r"uses TLS and this client does not; pass tls="),
    "an unknown authority": (
        False,
        lambda made: made.client(ca="other-ca.pem"),
        TlsError,
        r"not signed by an authority that this client trusts .*; name the one .* ca=",
    ),
    "another name": (
        False,
        lambda made: made.client(server_name="elsewhere.example"),
        TlsError,
        r"not valid for 'elsewhere.example'; connect by a name .* server_name=",
    ),
    "no certificate": (
        True,
        lambda made: made.client(),
        AuthenticationError,
        r"has no certificate; pass one .* certificate= and key=",
    ),
    "a stranger's certificate": (
        True,
        lambda made: made.client("stranger"),
        AuthenticationError,
        r"does not accept the certificate of this client; pass one",
    ),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("unix", [False, True], ids=["TCP", "Unix"])
def test_a_client_is_told_why_and_what_to_do(
    case: str, unix: bool, certificates: Certificates, tmp_path: Path
) -> None:
    mutual, given, kind, message = CASES[case]
    tls = given(certificates)
    address = f"unix://{tmp_path}/env.sock" if unix else None
    with serving(ScriptedEnv(), address, tls=certificates.server(mutual=mutual)) as server:
        asks: tuple[Callable[[], object], ...] = (
            lambda: rlmesh.RemoteEnv(server.address, tls=tls, connect_timeout_seconds=PATIENCE),
            lambda: fetch_contract(server.address, PATIENCE, Credentials(tls=tls)),
            lambda: wait_until_serving(server.address, PATIENCE, tls),
        )
        for ask in asks:
            before = time.monotonic()
            with pytest.raises(kind, match=message) as caught:
                ask()
            assert server.address in str(caught.value)
            assert time.monotonic() - before < PATIENCE / 2


def test_health_needs_a_certificate_where_everything_does(certificates: Certificates) -> None:
    with serving(ScriptedEnv(), tls=certificates.server(mutual=True)) as server:
        with pytest.raises(AuthenticationError):
            wait_until_serving(server.address, PATIENCE, certificates.client())
        wait_until_serving(server.address, PATIENCE, certificates.client("client"))


def test_a_server_without_tls_is_told(certificates: Certificates) -> None:
    with serving(ScriptedEnv()) as server:
        with pytest.raises(TlsError, match=r"does not use TLS and this client does; serve with"):
            rlmesh.RemoteEnv(
                server.address, tls=certificates.client(), connect_timeout_seconds=PATIENCE
            )


def test_a_certificate_that_has_expired_meanwhile_is_told(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificates.issue("server", "127.0.0.1", not_before=LONG_AGO, not_after=YESTERDAY)
    # It was valid when the server began.
    monkeypatch.setattr("rlmesh.transports.certificates._check_dates", lambda *_: None)
    with serving(ScriptedEnv(), tls=certificates.server()) as server:
        with pytest.raises(TlsError, match=r"has expired; renew it there"):
            rlmesh.RemoteEnv(
                server.address, tls=certificates.client(), connect_timeout_seconds=PATIENCE
            )


@pytest.mark.parametrize("timeout", [0.0, 0.1])
def test_a_short_time_is_enough_to_find_the_reason(
    timeout: float, certificates: Certificates
) -> None:
    with serving(ScriptedEnv(), tls=certificates.server()) as server:
        with pytest.raises(TlsError):
            rlmesh.RemoteEnv(server.address, connect_timeout_seconds=timeout)


def test_nobody_is_still_nobody(certificates: Certificates) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(EndpointUnreachableError, match="no server answers"):
        rlmesh.RemoteEnv(address, tls=certificates.client(), connect_timeout_seconds=0.5)


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_server_that_says_nothing_is_nobody_in_time(
    encrypted: bool, certificates: Certificates
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        tls = certificates.client() if encrypted else None
        before = time.monotonic()
        with pytest.raises(EndpointUnreachableError):
            rlmesh.RemoteEnv(address, tls=tls, connect_timeout_seconds=1.0)
        assert time.monotonic() - before < 10


def test_a_server_that_is_started_later_is_waited_for(certificates: Certificates) -> None:
    server = rlmesh.EnvServer(ScriptedEnv(), tls=certificates.server(mutual=True))
    starter = threading.Timer(0.6, server.start)
    starter.start()
    try:
        with rlmesh.RemoteEnv[Any, Any](
            server.address, tls=certificates.client("client"), connect_timeout_seconds=PATIENCE
        ) as client:
            client.reset(seed=0)
    finally:
        starter.join()
        server.shutdown()


@contextlib.contextmanager
def another_program(context: ssl.SSLContext) -> Generator[str]:
    """A TLS server that is no gRPC server: it answers everybody with a line of text."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ended = threading.Event()

        def answer() -> None:
            while not ended.is_set():
                peer, _ = listener.accept()
                with contextlib.suppress(OSError):
                    talk = context.wrap_socket(peer, server_side=True)
                    with talk:
                        talk.sendall(b"220 mail.example.org\r\n")
                peer.close()

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            ended.set()
            socket.create_connection(listener.getsockname()).close()
            thread.join(20)


def test_another_program_with_tls_is_a_typed_error(certificates: Certificates) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.path("server.pem"), certificates.path("server.key"))
    with another_program(context) as address, pytest.raises(EndpointError):
        rlmesh.RemoteEnv(address, tls=certificates.client(), connect_timeout_seconds=1.0)
