"""Authentication and encryption: tokens, and where certificates are.

Nothing here reads a file or knows the network; `rlmesh.transports.tls` does.
"""

from __future__ import annotations

import hmac
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields

from rlmesh.address import Address
from rlmesh.errors import ArgumentTypeError, InvalidCredentialsError

__all__ = ["AUTHORIZATION", "TOKEN_VARIABLE", "ClientTLS", "ServerTLS", "Token", "token_from"]

TOKEN_VARIABLE = "RLMESH_TOKEN"  # noqa: S105 - the variable's name
AUTHORIZATION = "authorization"
"""The key of the metadata that shows a token."""

# What a header carries as it is; gRPC refuses more than 8 KiB of metadata.
_TOKEN = re.compile(r"[!-~]{1,4096}")


class Token:
    """A secret that clients show. It appears in no `repr`, no message and no log.

    Args:
        text: The secret.
        source: Where it stands, for messages.

    Raises:
        InvalidCredentialsError: If it cannot be a token.
    """

    __slots__ = ("_header", "source")

    def __init__(self, text: str, source: str) -> None:
        if not _TOKEN.fullmatch(text):
            raise InvalidCredentialsError(
                f"{source} must be 1 to 4096 printable ASCII characters without blanks, and it is "
                f"{_what_is_wrong_with(text)}; make one with "
                f'python -c "import secrets; print(secrets.token_urlsafe(32))"'
            )
        self._header = f"Bearer {text}"
        self.source: str = source

    @property
    def header(self) -> str:
        """What a client shows, as the value of the metadata `authorization`."""
        return self._header

    def is_shown_by(self, header: bytes) -> bool:
        """Whether a client shows this token. The time it takes reveals only its length."""
        scheme, blank, token = header.partition(b" ")
        # RFC 9110: the scheme in any case, the rest as it is.
        shown = scheme.title() + blank + token.lstrip(b" ")
        return hmac.compare_digest(self._header.encode(), shown)

    def __repr__(self) -> str:
        """No part of the secret."""
        return "<Token>"


def _what_is_wrong_with(text: str) -> str:
    if not text.strip():
        return "empty"
    return "longer" if len(text) > 4096 else "not that"


def token_from(token: object, environ: Mapping[str, str]) -> Token | None:
    """The token that a user gives, or the environment variable `RLMESH_TOKEN`; None: none.

    Args:
        token: What the user gives.
        environ: The environment variables.

    Raises:
        ArgumentTypeError: If `token` is no text.
        InvalidCredentialsError: If it cannot be a token. An empty variable is a mistake too: where
            a secret should have been, nothing may be served without one.
    """
    if token is not None:
        if not isinstance(token, str):
            raise ArgumentTypeError(f"token must be a str or None, got {type(token).__name__}")
        return Token(token, "token")
    found = environ.get(TOKEN_VARIABLE)
    return None if found is None else Token(found, f"the environment variable {TOKEN_VARIABLE}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTLS:
    """Where a server's certificates are, in PEM files.

    The files are read when the server is made, and again, while it serves, when they change.

    Attributes:
        certificate: The server's certificate, and those between it and its authority.
        key: Its private key, without a passphrase.
        client_ca: The authorities whose clients may connect; no other client may then. None: a
            client needs no certificate.

    Raises:
        ArgumentTypeError: If one of them is no path.
    """

    certificate: str | os.PathLike[str]
    key: str | os.PathLike[str]
    client_ca: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        _check_paths(self, required=("certificate", "key"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTLS:
    """What a client trusts and how it identifies itself, in PEM files.

    The files are read whenever the client connects.

    Attributes:
        ca: The authorities that it trusts; None: those that this machine trusts.
        certificate: The client's own certificate, for a server that asks for one.
        key: Its private key, without a passphrase.
        server_name: The name that the server's certificate must have; None: the address's host, or
            `localhost` for a Unix socket.

    Raises:
        ArgumentTypeError: If one of them has the wrong type.
        InvalidCredentialsError: If there is a certificate without a key, or a key without one, or
            the server's name is empty.
    """

    ca: str | os.PathLike[str] | None = None
    certificate: str | os.PathLike[str] | None = None
    key: str | os.PathLike[str] | None = None
    server_name: str | None = None

    def __post_init__(self) -> None:
        _check_paths(self, required=())
        if not (self.server_name is None or isinstance(self.server_name, str)):
            raise ArgumentTypeError(
                f"server_name must be a str or None, got {type(self.server_name).__name__}"
            )
        if self.server_name == "":
            raise InvalidCredentialsError(
                "server_name must be a host's name or address, and it is empty; leave it out where "
                "it is the address's own"
            )
        if (self.certificate is None) != (self.key is None):
            raise InvalidCredentialsError(
                "a client's certificate needs its key, and the key its certificate: give both "
                "certificate= and key=, or neither"
            )


def _check_paths(tls: ServerTLS | ClientTLS, *, required: tuple[str, ...]) -> None:
    for field in fields(tls):
        value = getattr(tls, field.name)
        if field.name == "server_name" or (value is None and field.name not in required):
            continue
        if not isinstance(value, (str, os.PathLike)):
            raise ArgumentTypeError(
                f"{field.name} must be the path of a PEM file, got {type(value).__name__}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a client connects with.

    Attributes:
        token: What it shows; None: nothing.
        tls: What it trusts, and how it identifies itself; None: what crosses is not encrypted.
        insecure: Whether it may show its token to a network that reads it.
    """

    token: Token | None = None
    tls: ClientTLS | None = None
    insecure: bool = False


ANYBODY = Credentials()
"""No token, no TLS."""


def credentials_from(
    token: object, tls: object, environ: Mapping[str, str], *, insecure: bool = False
) -> Credentials:
    """What a client connects with, as the user gives it.

    Raises:
        ArgumentTypeError: If something has the wrong type.
        InvalidCredentialsError: If the token cannot be one.
    """
    if not (tls is None or isinstance(tls, ClientTLS)):
        raise ArgumentTypeError(
            f"tls must be a rlmesh.ClientTLS or None, got {type(tls).__name__}; "
            f"rlmesh.ClientTLS() trusts what this machine trusts"
        )
    return Credentials(token=token_from(token, environ), tls=tls, insecure=insecure)


def check_confidential(credentials: Credentials, address: Address) -> None:
    """Refuses to show a token where others can read it.

    Raises:
        InvalidCredentialsError: If what crosses to the address is not encrypted and leaves this
            machine, and the user did not allow that.
    """
    token = credentials.token
    if token is None or credentials.tls or credentials.insecure or address.is_loopback:
        return
    raise InvalidCredentialsError(
        f"{token.source} would cross the network to {address} in plaintext, where others on the "
        f"way can read and use it; encrypt with tls=rlmesh.ClientTLS(...), forward a port of the "
        f"loopback through SSH, or pass insecure=True if all of that network is trusted"
    )
