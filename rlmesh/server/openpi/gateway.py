"""Accepts the connections of openpi's clients, and opens a session for each."""

from __future__ import annotations

import http
import inspect
import logging
import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import unquote, urlsplit

from websockets.datastructures import Headers
from websockets.exceptions import WebSocketException
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.sync.server import ServerConnection

from rlmesh.address import TcpAddress
from rlmesh.foreign_text import LONGEST_TEXT, one_line
from rlmesh.openpi.forms import most_bytes
from rlmesh.security import AUTHORIZATION
from rlmesh.server.failures import CallFailedError
from rlmesh.server.models.provider import ModelProvider
from rlmesh.server.models.served_model import ServedModel
from rlmesh.server.openpi.connection import WebsocketStream
from rlmesh.server.openpi.conversation import Conversation
from rlmesh.server.rpc.binding import listen
from rlmesh.server.rpc.options import EndpointOptions
from rlmesh.server.sessions.manager import SessionManager
from rlmesh.server.sessions.session import Session
from rlmesh.transports.failures import error_from_failure
from rlmesh.transports.listener import Listener
from rlmesh.transports.peer import PROTOCOL_GENERATION, bound_names
from rlmesh.transports.tcp.tls_socket import secured
from rlmesh_api.v1 import session_pb2

_log = logging.getLogger("rlmesh.server")
# What websockets logs of strangers and broken connections is no error of this server.
_quiet = logging.getLogger("rlmesh.server.websockets")
_quiet.setLevel(logging.CRITICAL)

# Before websockets 17 a connection knew no server.
_KNOWS_SERVER = "server" in inspect.signature(ServerConnection).parameters

TRANSPORT = "openpi"
_HEALTH = "/healthz"
# How long a client may take from connecting to the end of its handshake.
_OPENING_SECONDS = 5.0
_KEEPALIVE_SECONDS = 20.0
# How openpi's clients name the scheme under which they show a key.
_API_KEY = "api-key "
_BEARER = "Bearer "


class OpenpiGateway:
    """Answers clients of openpi at its own address.

    Args:
        address: Where to listen.
        options: Which clients are let in, and the certificates.
        provider: Has the models.
        manager: Opens the sessions.
        ready: Whether health says SERVING.

    Attributes:
        address: Where it listens, port 0 resolved.
        socket_closed: Set once it takes no further connections, which websockets looks at.

    Raises:
        AddressInUseError: If another program listens there.
        InvalidAddressError: If the address cannot be bound on this machine.
    """

    def __init__(
        self,
        address: TcpAddress,
        options: EndpointOptions,
        provider: ModelProvider,
        manager: SessionManager,
        ready: Callable[[], bool],
    ) -> None:
        self.socket_closed: threading.Event = threading.Event()
        self._token = options.token
        self._identity = options.identity
        self._provider = provider
        self._manager = manager
        self._ready = ready
        self._most_bytes = max(most_bytes(each.contract) for each in provider.models.values())
        self._socket: socket.socket | None = listen(address)
        self.address: TcpAddress = replace(address, port=self._socket.getsockname()[1])
        self._listener: Listener | None = None

    @property
    def url(self) -> str:
        """The address as clients of websockets write it."""
        scheme = "ws" if self._identity is None else "wss"
        return f"{scheme}://{str(self.address).removeprefix('tcp://')}"

    def open(self) -> None:
        """Begins to answer.

        Raises:
            RuntimeError: If the system allows no further thread.
        """
        bound, self._socket = self._socket, None
        if bound is not None:
            self._listener = Listener(bound, self._welcome, waits=True)

    def close(self) -> None:
        """Takes no further connections; those that are open go on. May be called repeatedly."""
        self.socket_closed.set()
        if self._socket is not None:
            self._socket.close()
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _welcome(self, peer: socket.socket) -> None:
        """Makes the handshakes, on the greeting's thread; the connection gets a thread then."""
        peer.settimeout(_OPENING_SECONDS)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        sock = peer if self._identity is None else secured(peer, self._identity.context())
        sock.settimeout(None)
        protocol = ServerProtocol(
            # Every browser names the page that connects. Without this, any page that a user visits
            # could ask a model on the loopback.
            origins=[None],
            max_size=self._most_bytes,
            logger=_quiet,
        )
        # It looks at `socket_closed` alone.
        as_server: dict[str, Any] = {"server": self} if _KNOWS_SERVER else {}
        connection = ServerConnection(
            sock,
            protocol,
            **as_server,
            ping_interval=_KEEPALIVE_SECONDS,
            ping_timeout=_KEEPALIVE_SECONDS,
            # A client that sends on and on, and reads no answer, is not read either.
            max_queue=1,
        )
        client = _Client(WebsocketStream(connection))
        going = False
        try:
            connection.handshake(
                self._refusal,
                lambda _, request, response: self._admit(client, connection, request, response),
                server_header="rlmesh",
                timeout=_OPENING_SECONDS,
            )
            going = protocol.state is State.OPEN and client.session is not None
            if going:
                connection.start_keepalive()
                threading.Thread(
                    target=self._serve, args=(connection, client), name="rlmesh-openpi", daemon=True
                ).start()
        except (EOFError, OSError, RuntimeError, WebSocketException) as error:
            going = False
            _log.debug("a handshake of openpi failed: %s", error)
        finally:
            if not going:
                connection.close_socket()
                self._leave(client)

    def _refusal(self, connection: ServerConnection, request: Request) -> Response | None:
        """The answer to a request that opens no websocket; None for one that may."""
        if urlsplit(request.path).path == _HEALTH:
            if self._ready():
                return connection.respond(http.HTTPStatus.OK, "OK\n")
            return connection.respond(
                http.HTTPStatus.SERVICE_UNAVAILABLE, "not ready, or shutting down\n"
            )
        if self._token is not None and not self._shown(request.headers):
            response = connection.respond(
                http.HTTPStatus.UNAUTHORIZED, "this server answers those who show its token\n"
            )
            response.headers["WWW-Authenticate"] = "Api-Key"
            return response
        return None

    def _shown(self, headers: Headers) -> bool:
        shown = headers.get_all(AUTHORIZATION)
        if len(shown) != 1 or self._token is None:
            return False
        [value] = shown
        if value[: len(_API_KEY)].lower() == _API_KEY:
            value = _BEARER + value[len(_API_KEY) :]
        return self._token.is_shown_by(value.encode(errors="replace"))

    def _admit(
        self, client: _Client, connection: ServerConnection, request: Request, response: Response
    ) -> Response | None:
        """Opens the session of a client that may come in; the answer where it cannot."""
        if response.status_code != http.HTTPStatus.SWITCHING_PROTOCOLS:
            return None
        name = unquote(urlsplit(request.path).path).strip("/")
        served = self._provider.find(name)
        if served is None:
            names = ", ".join(self._provider.models)
            return connection.respond(
                http.HTTPStatus.NOT_FOUND,
                f"no such model is served here; name one in the path: {names}\n",
            )
        peer = session_pb2.Peer(
            name=request.headers.get("User-Agent", "a client of openpi"),
            host=_host(connection),
            implementation="openpi",
        )
        bound_names(peer)
        call = session_pb2.OpenCall(
            peer=peer, protocol_generation=PROTOCOL_GENERATION, model=served.contract.id
        )
        try:
            client.session = self._manager.open(call, client.stream)
        except CallFailedError as error:
            reason = error_from_failure(error.failure, self.url)
            return connection.respond(
                http.HTTPStatus.SERVICE_UNAVAILABLE, f"{one_line(str(reason), LONGEST_TEXT)}\n"
            )
        client.session.transport = TRANSPORT
        client.served = served
        return None

    def _serve(self, connection: ServerConnection, client: _Client) -> None:
        session, served = client.session, client.served
        try:
            if session is not None and served is not None:
                Conversation(client.stream, session, served.contract, self.url).run()
        except Exception:  # noqa: BLE001 - it ends this connection, and no other
            _log.exception("a defect of RLMesh in a connection of openpi")
        finally:
            client.stream.cut()
            connection.close_socket()
            self._leave(client)

    def _leave(self, client: _Client) -> None:
        """The connection has ended."""
        client.stream.ended()
        if client.session is not None:
            self._manager.stream_over(client.session, client.stream)


class _Client:
    """One connection.

    Args:
        stream: The connection.

    Attributes:
        stream: As given.
        session: Its session, once it is open.
        served: The model that it asks.
    """

    def __init__(self, stream: WebsocketStream) -> None:
        self.stream: WebsocketStream = stream
        self.session: Session | None = None
        self.served: ServedModel | None = None


def _host(connection: ServerConnection) -> str:
    try:
        where: Any = connection.socket.getpeername()
    except OSError:
        # The client has gone.
        return ""
    return str(where[0])
