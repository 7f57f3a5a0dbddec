"""Finds out why a connection to a server fails; gRPC reports only that it does."""

from __future__ import annotations

import contextlib
import socket
import ssl
from dataclasses import dataclass

from rlmesh.address import Address, TcpAddress, UnixAddress
from rlmesh.errors import AuthenticationError, EndpointError, TlsError
from rlmesh.transports.tcp.tls_socket import secured
from rlmesh.transports.tls import ClientIdentity

# OpenSSL's numbers for what is wrong with a certificate.
_NOT_YET_VALID, _EXPIRED, _WRONG_NAME, _WRONG_ADDRESS = 9, 10, 62, 64
_HTTP2 = ["h2"]
# How OpenSSL says that the other side objects to the client's certificate, or to its absence.
_OBJECTIONS = ("ALERT_CERTIFICATE", "ALERT_BAD_CERTIFICATE", "ALERT_UNKNOWN_CA", "ALERT_ACCESS")


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Why no connection can be made.

    Attributes:
        error: What to raise.
        sure: Whether the server said so; otherwise a broken network may look the same.
    """

    error: EndpointError
    sure: bool = True


def why_refused(
    address: Address, identity: ClientIdentity | None, host: str, seconds: float
) -> Diagnosis | None:
    """Connects once more, and reports where that fails.

    Args:
        address: Where the server is.
        identity: What the client trusts; None: it uses no TLS.
        host: The name that the server's certificate must bear, unless the identity says another.
        seconds: How long each of the steps may take.

    Returns:
        What is wrong; None where no server listens, or nothing is found.
    """
    try:
        if identity is None:
            return _why_not_plain(address, seconds)
        return _why_not_secured(address, identity, identity.server_name or host, seconds)
    except OSError:
        return None


def is_deserted(address: Address, seconds: float) -> bool:
    """Whether no server listens at an address any more, as far as this machine knows.

    Args:
        address: Where the server was. One on another machine is never known to be deserted: it may
            be a proxy that comes back, with the server behind it unharmed.
        seconds: How long to look.
    """
    if not address.is_loopback:
        return False
    try:
        _connected(address, seconds).close()
    except (ConnectionRefusedError, FileNotFoundError):
        return True
    except OSError:
        return False
    return False


def is_listening(address: Address, seconds: float) -> bool:
    """Whether something accepts connections at an address, in so many seconds."""
    try:
        _connected(address, seconds).close()
    except OSError:
        return False
    return True


def _why_not_plain(address: Address, seconds: float) -> Diagnosis:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # This connection only finds out whether the server speaks TLS.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(_HTTP2)
    with secured(_connected(address, seconds), context, server_name="localhost"):
        return Diagnosis(
            TlsError(
                f"the server at {address} uses TLS and this client does not; pass "
                f"tls=rlmesh.ClientTLS(ca=PATH), with the authority that signed the server's "
                f"certificate (--tls-ca on the command line)"
            )
        )


def _why_not_secured(
    address: Address, identity: ClientIdentity, name: str, seconds: float
) -> Diagnosis | None:
    try:
        for _ in range(2):
            # One failure alone may come from a server that is just ending.
            if _is_welcome(_connected(address, seconds), identity, name):
                return None
    except ssl.SSLCertVerificationError as error:
        return Diagnosis(_distrust(error, address, name))
    except ssl.SSLError as error:
        reason = error.reason or ""
        if any(objection in reason for objection in _OBJECTIONS):
            return Diagnosis(_unwelcome(address, identity))
        if reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"):
            return Diagnosis(
                TlsError(
                    f"the server at {address} does not use TLS and this client does; serve with "
                    f"tls=rlmesh.ServerTLS(...), or leave out tls= here if everybody on that "
                    f"network is trusted"
                )
            )
        return None
    # A gRPC server closes the connection without a reason.
    return Diagnosis(_unwelcome(address, identity), sure=False)


def _is_welcome(sock: socket.socket, identity: ClientIdentity, name: str) -> bool:
    with (
        secured(sock, identity.context, server_name=name) as encrypted,
        contextlib.suppress(ConnectionError),
    ):
        # A server of gRPC speaks first, unless it ends the connection.
        return bool(encrypted.recv(1))
    return False


def _distrust(error: ssl.SSLCertVerificationError, address: Address, name: str) -> TlsError:
    code = error.verify_code
    if code in (_WRONG_NAME, _WRONG_ADDRESS):
        return TlsError(
            f"the certificate of the server at {address} is not valid for {name!r}; connect by "
            f"a name that it holds, or give that name with server_name= of rlmesh.ClientTLS"
        )
    if code == _EXPIRED:
        return TlsError(
            f"the certificate of the server at {address} has expired; renew it there, where the "
            f"running server reads it again"
        )
    if code == _NOT_YET_VALID:
        return TlsError(
            f"the certificate of the server at {address} is not valid yet; check the clocks of "
            f"both machines"
        )
    return TlsError(
        f"the certificate of the server at {address} is not signed by an authority that this "
        f"client trusts ({error.verify_message}); name the one that signed it with ca= of "
        f"rlmesh.ClientTLS (--tls-ca on the command line)"
    )


def _unwelcome(address: Address, identity: ClientIdentity) -> AuthenticationError:
    if identity.certificate is None:
        return AuthenticationError(
            f"the server at {address} ends the connection of this client, which has no "
            f"certificate; pass one that the server's authority signed, with certificate= and "
            f"key= of rlmesh.ClientTLS (--tls-cert and --tls-key on the command line)"
        )
    return AuthenticationError(
        f"the server at {address} does not accept the certificate of this client; pass one that "
        f"is valid and that the server's authority signed, with certificate= and key= of "
        f"rlmesh.ClientTLS"
    )


def _connected(address: Address, seconds: float) -> socket.socket:
    if isinstance(address, TcpAddress):
        return socket.create_connection((address.host, address.port), seconds)
    return _connected_unix(address, seconds)


def _connected_unix(address: UnixAddress, seconds: float) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(seconds)
        sock.connect(address.path)
    except BaseException:
        sock.close()
        raise
    return sock
