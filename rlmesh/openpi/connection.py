"""The websocket to a server of openpi."""

from __future__ import annotations

import contextlib
import http
import socket
import ssl
import threading
from collections.abc import Mapping
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection, connect

from rlmesh import errors
from rlmesh.address import TcpAddress
from rlmesh.codec.infos.type_guards import is_mapping
from rlmesh.foreign_text import LONGEST_TEXT, one_line, paragraphs
from rlmesh.limits import MAX_MESSAGE_BYTES
from rlmesh.openpi.forms import OWN
from rlmesh.openpi.packing import MessageError, pack, unpack
from rlmesh.security import ClientTLS, Credentials, check_confidential
from rlmesh.transports.tls import read_client_identity

__all__ = ["Server", "Websocket", "read_uri"]

# The errors that a server may name in the first line of a text. Any other text is what its policy
# has raised.
_NAMED = (
    errors.CallTimeoutError,
    errors.EndpointBusyError,
    errors.EndpointDrainingError,
    errors.InvalidActionError,
    errors.InvalidObservationError,
    errors.SessionLostError,
)
_CLOSE_SECONDS = 1.0


class Server:
    """Where a server is, and how to connect to it.

    Args:
        uri: `ws://HOST:PORT`, `wss://HOST:PORT`, with a path or without one.
        credentials: What the client shows and trusts.
        connect_timeout: How many seconds connecting may take; None: for ever.
        request_timeout: How many seconds an answer may take; None: for ever.

    Attributes:
        uri: As given, with its scheme.

    Raises:
        InvalidAddressError: If the URI names no websocket.
        InvalidCredentialsError: If a token would cross a network in plaintext, or a certificate
            cannot be used.
    """

    def __init__(
        self,
        uri: str,
        credentials: Credentials,
        connect_timeout: float | None,
        request_timeout: float | None,
    ) -> None:
        self.uri: str
        self.uri, address, encrypted = read_uri(uri)
        if credentials.tls is not None and not encrypted:
            raise errors.InvalidAddressError(
                f"{self.uri} is not encrypted, and tls= is given; write wss:// where the server "
                f"has a certificate"
            )
        self.request_timeout: float | None = request_timeout
        self._connect_timeout = connect_timeout
        self._token = credentials.token
        self._tls = (credentials.tls or ClientTLS()) if encrypted else None
        if self._tls is not None:
            read_client_identity(self._tls)
        else:
            check_confidential(credentials, address)

    def connect(self) -> Websocket:
        """Connects, and reads the server's metadata.

        Raises:
            EndpointError: If no server of openpi answers there, or not this client.
        """
        began = monotonic()
        headers: dict[str, str] = {}
        if self._token is not None:
            headers["Authorization"] = "Api-Key " + self._token.header.partition(" ")[2]
        context: ssl.SSLContext | None = None
        if self._tls is not None:
            context = read_client_identity(self._tls).context
            context.set_alpn_protocols(["http/1.1"])
        try:
            connection = connect(
                self.uri,
                ssl=context,
                server_hostname=None if self._tls is None else self._tls.server_name,
                additional_headers=headers,
                compression=None,
                open_timeout=self._connect_timeout,
                # A server of openpi answers nothing else while its policy computes.
                ping_interval=None,
                close_timeout=_CLOSE_SECONDS,
                max_size=MAX_MESSAGE_BYTES,
                proxy=None,
                user_agent_header="rlmesh",
            ).__enter__()  # websockets wants its connections in a context; `close` leaves it.
        except Exception as error:
            raise self._unconnected(error) from error
        timeout = self._connect_timeout
        websocket = Websocket(connection, self)
        try:
            rest = None if timeout is None else max(0.0, timeout - (monotonic() - began))
            websocket.metadata = websocket.answer(rest)
        except errors.CallTimeoutError as error:
            websocket.close()
            raise errors.EndpointUnreachableError(
                f"{self.uri} took the connection and sent no metadata within {timeout} s; check "
                f"that a server of openpi serves there"
            ) from error
        except BaseException:
            websocket.close()
            raise
        return websocket

    def _unconnected(self, error: Exception) -> Exception:
        uri = self.uri
        if isinstance(error, InvalidStatus):
            return _refused(uri, error)
        if isinstance(error, ssl.SSLError):
            return errors.TlsError(
                f"no trusted connection to {uri}: {_text(error)}; check "
                f"tls=rlmesh.ClientTLS(ca=...)"
            )
        if isinstance(error, TimeoutError):
            return errors.EndpointUnreachableError(
                f"no answer from {uri} within {self._connect_timeout} s; start a server there, or "
                f"raise connect_timeout_seconds"
            )
        if isinstance(error, (WebSocketException, EOFError)):
            return errors.ProtocolError(
                f"{uri} speaks no websocket ({_text(error)}); check the address"
            )
        if isinstance(error, OSError):
            return errors.EndpointUnreachableError(
                f"nothing answers at {uri} ({_text(error)}); start a server there, or check the "
                f"address"
            )
        return error


class Websocket:
    """One connection to a server. One call at a time.

    `_lock` guards the connection during a call.

    Args:
        connection: The websocket.
        server: Where it leads.

    Attributes:
        metadata: What the server says of itself.
        open: Whether calls can follow.
    """

    def __init__(self, connection: ClientConnection, server: Server) -> None:
        self.metadata: Mapping[str, Any] = {}
        self.open: bool = True
        self._connection = connection
        self._server = server
        self._lock = threading.Lock()

    def ask(self, entries: Mapping[str, Any]) -> Mapping[str, Any]:
        """Sends an observation; returns the answer.

        Raises:
            InvalidObservationError: If the observation has no form in this protocol, or the server
                refuses it.
            RlmeshError: What `answer` raises.
        """
        try:
            message = pack(entries)
        except (TypeError, ValueError, OverflowError) as error:
            raise errors.InvalidObservationError(
                f"the observation was refused: {one_line(str(error), LONGEST_TEXT)}. The model "
                f"was not called"
            ) from error
        with self._lock:
            try:
                self._connection.send(message)
            except (ConnectionClosed, OSError) as error:
                self.close()
                raise self._lost(error) from error
            return self.answer(self._server.request_timeout)

    def answer(self, timeout: float | None) -> Mapping[str, Any]:
        """The next message of the server.

        Raises:
            CallTimeoutError: If it does not come in time. The connection has ended then.
            ConnectionLostError: If the connection broke.
            ProtocolError: If it is no message of openpi.
            RlmeshError: What the server reports in a text instead.
        """
        uri = self._server.uri
        try:
            message = self._connection.recv(timeout)
        except TimeoutError as error:
            # What comes now would be taken for the answer to the next call.
            self.close()
            raise errors.CallTimeoutError(
                f"no answer from {uri} within {timeout} s; the next call connects again"
            ) from error
        except (ConnectionClosed, OSError) as error:
            self.close()
            raise self._lost(error) from error
        except BaseException:
            # Ctrl-C: the answer to this call may still come.
            self.close()
            raise
        if isinstance(message, str):
            if OWN not in self.metadata:
                # openpi's own server ends the connection after a text; RLMesh's goes on.
                self.close()
            raise _reported(message, uri)
        try:
            answer = unpack(message)
        except MessageError as error:
            self.close()
            raise errors.ProtocolError(
                f"the answer of {uri} cannot be read: {_text(error)}"
            ) from error
        if not is_mapping(answer):
            self.close()
            raise errors.ProtocolError(
                f"an answer of openpi is a dict, and {uri} sent a value of type "
                f"{type(answer).__name__}"
            )
        return answer

    def close(self) -> None:
        """Ends the connection. May be called repeatedly, from any thread."""
        if not self.open:
            return
        self.open = False
        with contextlib.suppress(ConnectionClosed, OSError):
            self._connection.close()

    def cut(self) -> None:
        """Ends the connection without a word, and without a wait."""
        self.open = False
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._connection.socket, socket.SHUT_RDWR)

    def _lost(self, error: Exception) -> Exception:
        return errors.ConnectionLostError(
            f"the connection to {self._server.uri} broke ({_text(error)}); the next call connects "
            f"again"
        )


def read_uri(uri: str) -> tuple[str, TcpAddress, bool]:
    """Reads the address of a websocket.

    Args:
        uri: The address; without a scheme, `ws://` is meant.

    Returns:
        The URI with its scheme, host and port, and whether it is encrypted.

    Raises:
        ArgumentTypeError: If it is no text.
        InvalidAddressError: If it names no websocket.
    """
    if not isinstance(uri, str):
        raise errors.ArgumentTypeError(f"uri must be a str, got {type(uri).__name__}")
    whole = uri if "://" in uri else f"ws://{uri}"
    try:
        parts = urlsplit(whole)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise _no_websocket(uri) from error
    plain = not (parts.query or parts.fragment or parts.username or parts.password)
    if parts.scheme not in ("ws", "wss") or not host or not plain or not whole.isascii():
        raise _no_websocket(uri)
    encrypted = parts.scheme == "wss"
    return whole, TcpAddress(host, port or (443 if encrypted else 80)), encrypted


def _no_websocket(uri: str) -> errors.InvalidAddressError:
    return errors.InvalidAddressError(
        f"{uri!r:.200} names no websocket; write ws://HOST:PORT, or wss://HOST:PORT for TLS, with "
        f"a path where the server has several models"
    )


def _text(error: BaseException) -> str:
    return one_line(str(error) or type(error).__name__, LONGEST_TEXT)


def _refused(uri: str, error: InvalidStatus) -> errors.RlmeshError:
    status = error.response.status_code
    body = one_line((error.response.body or b"").decode(errors="replace").strip(), LONGEST_TEXT)
    said = f"status {status}" + (f": {body}" if body else "")
    if status in (http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN):
        return errors.AuthenticationError(
            f"{uri} does not accept this client ({said}); give it the server's token with token="
        )
    if status == http.HTTPStatus.NOT_FOUND:
        return errors.InvalidArgumentError(f"{uri} has nothing at this path ({said})")
    if status == http.HTTPStatus.SERVICE_UNAVAILABLE:
        return errors.EndpointBusyError(f"{uri} takes no client now ({said}); try again later")
    return errors.ProtocolError(f"{uri} opens no websocket ({said}); check the address")


def _reported(text: str, uri: str) -> errors.RlmeshError:
    """The error for a text that a server sends instead of an answer."""
    text = paragraphs(text.strip())
    first, _, rest = text.partition(": ")
    for kind in _NAMED:
        if kind.__name__ == first:
            return kind(rest)
    last = text.rpartition("\n")[2]
    name, _, said = last.partition(": ")
    return errors.RemoteModelError(
        f"the policy at {uri} failed: {one_line(last, LONGEST_TEXT)}\n\nThe server says:\n{text}",
        exception_type=one_line(name),
        exception_message=said,
        remote_traceback=text,
    )
