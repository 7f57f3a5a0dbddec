"""TLS of both sides, for gRPC and for the sockets of the transport `direct`."""

from __future__ import annotations

import logging
import os
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import grpc

from rlmesh.errors import InvalidCredentialsError
from rlmesh.security import ClientTLS, ServerTLS
from rlmesh.transports.certificates import (
    read_authorities,
    read_certificates,
    read_key,
    system_authorities,
)

_log = logging.getLogger("rlmesh.security")

Stamp: TypeAlias = tuple[object, ...]
Path: TypeAlias = str | os.PathLike[str]

# How often files that are being replaced are read, until they stay the same during the reading.
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class _Identity:
    """The contents of a server's files at one time."""

    certificate: bytes
    key: bytes = field(repr=False)
    client_ca: bytes | None
    context: ssl.SSLContext

    @property
    def configuration(self) -> grpc.ServerCertificateConfiguration:
        """The same for gRPC."""
        return grpc.ssl_server_certificate_configuration(
            [(self.key, self.certificate)], root_certificates=self.client_ca
        )


class ServerIdentity:
    """A server's certificate, key and client authority; read again when a file has changed.

    If changed files cannot be used, for instance because one of them is not written yet, the server
    goes on with the former ones and logs it.

    Args:
        tls: The paths of the files.

    Raises:
        InvalidCredentialsError: If a file cannot be used.
    """

    def __init__(self, tls: ServerTLS) -> None:
        self._tls = tls
        self._lock = threading.Lock()
        self._stamp = self._look()
        self._identity = _read_identity(tls)

    def context(self) -> ssl.SSLContext:
        """The context for the next connection to a socket of the transport `direct`."""
        return self._current().context

    def for_grpc(self) -> grpc.ServerCredentials:
        """The credentials for a gRPC server, which asks for changes at every handshake."""
        latest = [self._identity]

        def fetch() -> grpc.ServerCertificateConfiguration | None:
            current = self._current()
            if current is latest[0]:
                return None
            latest[0] = current
            return current.configuration

        # None means that nothing has changed; the stubs of grpc do not know that.
        fetcher: Any = fetch
        return grpc.dynamic_ssl_server_credentials(
            self._identity.configuration,
            fetcher,
            require_client_authentication=self._tls.client_ca is not None,
        )

    def _current(self) -> _Identity:
        with self._lock:
            stamp = self._look()
            if stamp != self._stamp:
                # One attempt for each change.
                self._stamp = stamp
                try:
                    self._identity = _read_identity(self._tls)
                except InvalidCredentialsError as error:
                    _say(logging.WARNING, f"the files of TLS changed and are not used yet: {error}")
                else:
                    _say(logging.INFO, "the files of TLS changed and are used from now on")
            return self._identity

    def _look(self) -> Stamp:
        tls = self._tls
        return tuple(map(_stamp, (tls.certificate, tls.key, tls.client_ca)))


def _say(level: int, message: str) -> None:
    """Logs on another thread, and waits for it.

    gRPC calls on threads that are not Python's. Python would remember each that logs for ever.
    """
    said = threading.Event()

    def say() -> None:
        _log.log(level, "%s", message)
        said.set()

    threading.Thread(target=say, name="rlmesh-log", daemon=True).start()
    said.wait()


def _stamp(path: Path | None) -> Stamp | None:
    """A value that changes when the file changes, also if the path is a link to it."""
    try:
        found = None if path is None else os.stat(path)
    except (OSError, ValueError):
        found = None
    return None if found is None else (found.st_ino, found.st_dev, found.st_size, found.st_mtime_ns)


def _read_identity(tls: ServerTLS) -> _Identity:
    certificate, key, context = _read_pair(
        tls.certificate, tls.key, "the server's", lambda: _context(ssl.PROTOCOL_TLS_SERVER)
    )
    # Connections are made once and never resumed.
    context.num_tickets = 0
    client_ca = None
    if tls.client_ca is not None:
        client_ca = read_authorities(tls.client_ca, "the clients' authority")
        _trust(context, client_ca, f"the clients' authority {os.fspath(tls.client_ca)}")
        context.verify_mode = ssl.CERT_REQUIRED
    return _Identity(certificate, key, client_ca, context)


@dataclass(frozen=True, slots=True)
class ClientIdentity:
    """What a client trusts and how it identifies itself, as the files said when it was made.

    Attributes:
        ca: The authorities that it trusts.
        certificate: Its certificate; None: it has none.
        key: Its key.
        context: The same for sockets.
        server_name: The name that the server's certificate must bear; None: its host.
    """

    ca: bytes
    certificate: bytes | None
    key: bytes | None = field(repr=False)
    context: ssl.SSLContext
    server_name: str | None

    def for_grpc(self) -> grpc.ChannelCredentials:
        """For a channel."""
        return grpc.ssl_channel_credentials(self.ca, self.key, self.certificate)


def read_client_identity(tls: ClientTLS) -> ClientIdentity:
    """Reads a client's files.

    Raises:
        InvalidCredentialsError: If a file cannot be used.
    """
    if tls.ca is None:
        ca, source = system_authorities(), "the authorities that this machine trusts"
    else:
        ca = read_authorities(tls.ca, "the servers' authority")
        source = f"the servers' authority {os.fspath(tls.ca)}"
    certificate: bytes | None = None
    key: bytes | None = None
    context = _context(ssl.PROTOCOL_TLS_CLIENT)
    if tls.certificate is not None and tls.key is not None:
        certificate, key, context = _read_pair(
            tls.certificate, tls.key, "the client's", lambda: _context(ssl.PROTOCOL_TLS_CLIENT)
        )
    # gRPC's servers insist on it, and our sockets do not mind.
    context.set_alpn_protocols(["h2"])
    _trust(context, ca, source)
    return ClientIdentity(ca, certificate, key, context, tls.server_name)


def _context(side: int) -> ssl.SSLContext:
    context = ssl.SSLContext(side)
    # Both ends of our sockets are RLMesh, and what came before 1.3 can renegotiate.
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # As gRPC does it: a certificate that is trusted by itself needs no authority.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _trust(context: ssl.SSLContext, ca: bytes, source: str) -> None:
    try:
        context.load_verify_locations(cadata=ca.decode("ascii", "replace"))
    except (ssl.SSLError, ValueError) as error:
        raise InvalidCredentialsError(
            f"{source} cannot be read ({error}); make or fetch the file again"
        ) from error


def _read_pair(
    certificate: Path, key: Path, whose: str, make: Callable[[], ssl.SSLContext]
) -> tuple[bytes, bytes, ssl.SSLContext]:
    """A certificate and its key, and a context that has them."""
    for _ in range(_ATTEMPTS):
        found = _read_files(certificate, key, whose)
        context = make()
        try:
            # The only function that sees whether they fit, and it reads the files by itself.
            context.load_cert_chain(certificate, key, password=_no_passphrase)
        except (ssl.SSLError, OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or str(error)
            raise InvalidCredentialsError(
                f"{whose} key {os.fspath(key)} does not fit {whose} certificate "
                f"{os.fspath(certificate)} ({reason}); give the key that the certificate was made "
                f"for"
                if reason == "KEY_VALUES_MISMATCH"
                else f"{whose} certificate {os.fspath(certificate)} or key {os.fspath(key)} cannot "
                f"be used ({reason}); make or fetch the files again"
            ) from error
        if _read_files(certificate, key, whose) == found:
            return *found, context
    raise InvalidCredentialsError(
        f"{whose} certificate {os.fspath(certificate)} changes while it is read; try again"
    )


def _read_files(certificate: Path, key: Path, whose: str) -> tuple[bytes, bytes]:
    return (
        read_certificates(certificate, f"{whose} certificate"),
        read_key(key, f"{whose} key"),
    )


def _no_passphrase() -> str:
    raise ValueError("the key needs a passphrase")
