"""The gRPC channels of a client: token, TLS, and why a connection fails."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import grpc

from rlmesh.address import Address, TcpAddress, parse_address
from rlmesh.client.connect_diagnosis import Diagnosis, why_refused
from rlmesh.errors import InvalidAddressError, InvalidCredentialsError
from rlmesh.security import AUTHORIZATION, Credentials, check_confidential
from rlmesh.transports.failures import status_of
from rlmesh.transports.grpc.forks import check_not_forked, use_grpc
from rlmesh.transports.grpc.options import channel_options
from rlmesh.transports.listener import Secure
from rlmesh.transports.tcp.tls_socket import secured
from rlmesh.transports.tls import ClientIdentity, read_client_identity

_log = logging.getLogger("rlmesh.security")

RequestType = TypeVar("RequestType")
ResponseType = TypeVar("ResponseType")

# After how long without an answer the client looks for the reason, and how long a look may take.
_FIRST_LOOK_SECONDS = 0.25
_LOOK_SECONDS = 0.5
# A look takes at least this long, so that a server that answers at once is heard.
_LEAST_SECONDS = 0.05
_UNANSWERED = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


def dialable(address: str) -> Address:
    """Reads an address that a client can connect to.

    Raises:
        ArgumentTypeError: If it is no str.
        InvalidAddressError: If it cannot be read, or has the port 0, which is for servers.
    """
    parsed = parse_address(address)
    if isinstance(parsed, TcpAddress) and parsed.port == 0:
        raise InvalidAddressError(f"{address!r}: port 0 is for servers; give the server's port")
    return parsed


class ChannelFactory:
    """Makes the channels of a client to one endpoint.

    Args:
        address: Where the endpoint is.
        credentials: The token and the TLS files.

    Attributes:
        host: The endpoint's host, IPv6 without brackets.

    Raises:
        InvalidCredentialsError: If a file cannot be used, or the token would cross in plaintext.
        StateError: If this process is a fork of one that had used gRPC.
    """

    def __init__(self, address: Address, credentials: Credentials) -> None:
        check_not_forked("client")
        check_confidential(credentials, address)
        self._address = address
        self.host: str = address.host if isinstance(address, TcpAddress) else "localhost"
        self._credentials = credentials
        self._identity: ClientIdentity | None = None
        self._dialed = False
        self._read()

    def channel(self) -> grpc.Channel:
        """A new channel, with the current content of the TLS files; every call sends the token.

        Where changed files cannot be used, as one of them may not be replaced yet, the channel uses
        what they held before.

        Raises:
            SystemResourceError: If too few descriptors are free.
        """
        if self._dialed:
            try:
                self._read()
            except InvalidCredentialsError as error:
                _log.warning("the files of TLS changed and are not used yet: %s", error)
        self._dialed = True
        settings: list[tuple[str, Any]] = [*channel_options(self._address)]
        use_grpc(f"connect to {self._address}")
        if self._identity is None:
            channel = grpc.insecure_channel(self._address.dial_target, options=settings)
        else:
            name = self._identity.server_name or self.host
            settings.append(("grpc.ssl_target_name_override", name))
            channel = grpc.secure_channel(
                self._address.dial_target, self._identity.for_grpc(), options=settings
            )
        token = self._credentials.token
        if token is None:
            return channel
        return grpc.intercept_channel(channel, _TokenInterceptor(token.header))

    @property
    def secure(self) -> Secure | None:
        """Encrypts a connection to the same server; None: there is no TLS."""
        identity = self._identity
        if identity is None:
            return None
        # Whatever address the server names for it, its certificate must be this server's.
        name = identity.server_name or self.host
        return lambda sock: secured(sock, identity.context, server_name=name)

    def ask(
        self,
        method: grpc.UnaryUnaryMultiCallable[RequestType, ResponseType],
        request: RequestType,
        timeout: float | None,
        *,
        wait_for_ready: bool = False,
    ) -> ResponseType:
        """Makes a call, and finds the reason where no answer comes.

        Args:
            method: The method.
            request: Its argument.
            timeout: Seconds until it must have been answered; None: no limit.
            wait_for_ready: Whether to wait for a server that is not up yet.

        Raises:
            grpc.RpcError: If the call fails.
            TlsError: If no answer comes, as TLS fails.
            AuthenticationError: If no answer comes, as the server refuses the certificate.
        """
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        call: Any = method.future(request, timeout=timeout, wait_for_ready=wait_for_ready)
        pause = _FIRST_LOOK_SECONDS
        guessed = False
        try:
            while True:
                with contextlib.suppress(grpc.FutureTimeoutError):
                    answer: ResponseType = call.result(timeout=pause)
                    return answer
                found = self._look(deadline - time.monotonic())
                if found is not None and (found.sure or guessed):
                    raise found.error
                # A guess that two looks confirm is no guess any more.
                guessed = found is not None
                pause *= 2
        except grpc.RpcError as error:
            if status_of(error)[0] in _UNANSWERED:
                found = self._look(deadline - time.monotonic())
                if found is not None:
                    raise found.error from error
            raise
        except grpc.FutureCancelledError:
            # The server or `close` ended the call; the call is its own error.
            raise call from None
        finally:
            call.cancel()

    def _look(self, remaining: float) -> Diagnosis | None:
        seconds = min(_LOOK_SECONDS, max(_LEAST_SECONDS, remaining))
        return why_refused(self._address, self._identity, self.host, seconds)

    def _read(self) -> None:
        if self._credentials.tls is not None:
            self._identity = read_client_identity(self._credentials.tls)


class _Details(NamedTuple):
    """The fields of `grpc.ClientCallDetails`."""

    method: str
    timeout: float | None
    metadata: Sequence[tuple[str, str | bytes]] | None
    credentials: grpc.CallCredentials | None
    wait_for_ready: bool | None
    compression: grpc.Compression | None


class _TokenInterceptor(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Sends the token with every call."""

    def __init__(self, header: str) -> None:
        self._header = header

    def intercept_unary_unary(
        self, continuation: Any, client_call_details: Any, request: Any
    ) -> Any:
        """Adds the token."""
        return continuation(self._with_token(client_call_details), request)

    def intercept_unary_stream(
        self, continuation: Any, client_call_details: Any, request: Any
    ) -> Any:
        """Adds the token."""
        return continuation(self._with_token(client_call_details), request)

    def intercept_stream_stream(
        self, continuation: Any, client_call_details: Any, request_iterator: Any
    ) -> Any:
        """Adds the token."""
        return continuation(self._with_token(client_call_details), request_iterator)

    def _with_token(self, details: Any) -> _Details:
        return _Details(
            details.method,
            details.timeout,
            [*(details.metadata or ()), (AUTHORIZATION, self._header)],
            details.credentials,
            details.wait_for_ready,
            getattr(details, "compression", None),
        )
