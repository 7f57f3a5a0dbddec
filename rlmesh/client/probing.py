"""Asks an endpoint how it is, without opening a session."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from types import TracebackType

import grpc
from grpc_health.v1 import health, health_pb2
from typing_extensions import Self

from rlmesh.address import Address
from rlmesh.client.channel import ChannelFactory, dialable
from rlmesh.client.expected_contract import read_model_response, read_response
from rlmesh.client.kinds import (
    ENV_CONTRACT,
    ENVIRONMENT,
    KINDS,
    MODEL,
    SHUTDOWN,
    STATUS,
    Kind,
    Question,
    RequestType,
    ResponseType,
    is_unknown,
    model_contract,
)
from rlmesh.client.status import EndpointStatus
from rlmesh.contract import EnvContract, ModelContract
from rlmesh.errors import (
    EndpointUnreachableError,
    RlmeshError,
    StateError,
)
from rlmesh.seconds import check_seconds
from rlmesh.security import ANYBODY, ClientTLS, Credentials
from rlmesh.transports.failures import error_from_rpc, status_of
from rlmesh_api.v1 import session_pb2

__all__ = [
    "HealthProbe",
    "fetch_contract",
    "fetch_status",
    "request_shutdown",
    "wait_until_serving",
]

# How soon a server that answers, and does not serve yet, is asked again.
_RETRY_SECONDS = 0.05
# However little time is left, a question gets this long, so that a server that is up can answer.
_LEAST_SECONDS = 0.1


class HealthProbe:
    """Asks for the health of an endpoint, over its own connection.

    Args:
        address: The endpoint's address.
        tls: What to trust, and how to identify oneself; None: what crosses is not encrypted. A
            token is not needed.

    Raises:
        InvalidAddressError: If the address is none that can be connected to.
        InvalidCredentialsError: If a file of TLS cannot be used.
    """

    def __init__(self, address: str, tls: ClientTLS | None = None) -> None:
        parsed = dialable(address)
        self._address = str(parsed)
        self._closed = threading.Event()
        self._channels = ChannelFactory(parsed, Credentials(tls=tls))
        self._channel = self._channels.channel()
        # The published stubs of this service declare no methods.
        self._check = self._channel.unary_unary(
            f"/{health.SERVICE_NAME}/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )

    def wait(self, timeout: float | None = None) -> None:
        """Returns as soon as the health service says SERVING.

        A server that is not up yet, or ends meanwhile, is waited for.

        Args:
            timeout: Seconds to wait; however few, it asks once. None: for ever.

        Raises:
            ArgumentTypeError: If `timeout` is no number.
            InvalidArgumentError: If `timeout` is negative or too large.
            EndpointUnreachableError: If it does not say SERVING in time.
            AuthenticationError: If the server refuses the client's certificate.
            TlsError: If no trusted connection can be made.
            StateError: If the probe is closed meanwhile.
        """
        check_seconds("timeout", timeout)
        deadline = None if timeout is None else time.monotonic() + timeout
        heard = "no server answers there; is the server running, and is that its address?"
        while not self._closed.is_set():
            remaining = None if deadline is None else deadline - time.monotonic()
            answer = self._ask(remaining)
            if answer is None:
                return
            heard = answer or heard
            if deadline is not None and time.monotonic() >= deadline:
                raise EndpointUnreachableError(
                    f"{self._address} does not serve within {timeout:g} s: {heard}"
                )
            self._closed.wait(_RETRY_SECONDS)
        raise StateError(f"the probe of {self._address} is closed")

    def close(self) -> None:
        """Ends the connection, and a wait in another thread. May be called repeatedly."""
        self._closed.set()
        self._channel.close()

    def __enter__(self) -> Self:
        """The probe itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends the connection."""
        self.close()

    def _ask(self, remaining: float | None) -> str | None:
        """None if it serves, else what it says instead; empty where no server answers."""
        timeout = None if remaining is None else max(remaining, _LEAST_SECONDS)
        try:
            answer = self._channels.ask(
                self._check, health_pb2.HealthCheckRequest(), timeout, wait_for_ready=True
            )
        except grpc.RpcError as error:
            code, details = status_of(error)
            if code is grpc.StatusCode.DEADLINE_EXCEEDED:
                return ""
            if code is grpc.StatusCode.UNIMPLEMENTED:
                return "what answers there has no health service; check the address"
            return f"the connection fails ({details})"
        except ValueError:
            # How grpc says that the channel was closed a moment ago.
            return ""
        if answer.status == health_pb2.HealthCheckResponse.SERVING:
            return None
        return f"it says {health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)}"


def wait_until_serving(address: str, timeout: float | None, tls: ClientTLS | None = None) -> None:
    """Returns as soon as the server at an address serves.

    Args:
        address: The server's address; the server may be started later than this call.
        timeout: Seconds to wait; however few, it asks once. None: for ever.
        tls: What to trust, and how to identify oneself; None: what crosses is not encrypted.

    Raises:
        InvalidAddressError: If the address is none that can be connected to.
        InvalidCredentialsError: If a file of TLS cannot be used.
        EndpointUnreachableError: If it does not serve in time.
        AuthenticationError: If the server refuses the client's certificate.
        TlsError: If no trusted connection can be made.
    """
    with HealthProbe(address, tls) as probe:
        probe.wait(timeout)


def fetch_contract(
    address: str,
    timeout: float | None,
    credentials: Credentials = ANYBODY,
    *,
    model: str | None = None,
) -> tuple[EnvContract | ModelContract, session_pb2.Peer]:
    """The contract of the endpoint at an address, and who serves it.

    Args:
        address: The server's address; the server must be up.
        timeout: Seconds until it must have answered, None: for ever.
        credentials: What to come in with.
        model: Which model is meant, where several are served. None: the only one, or the
            environment.

    Raises:
        ArgumentTypeError: If `timeout` is no number.
        InvalidArgumentError: If `timeout` is negative or too large, or no such model is served.
        InvalidAddressError: If the address is none that can be connected to.
        InvalidCredentialsError: If a file of TLS cannot be used, or the token would cross a network
            in plaintext.
        EndpointUnreachableError: If no server answers in time.
        AuthenticationError: If the server does not know the client.
        TlsError: If no trusted connection can be made.
        ProtocolError: If what answers does not speak RLMesh.
    """
    with _Asker(address, timeout, credentials) as asker:
        if model is None:
            with contextlib.suppress(_UnknownServiceError):
                response = asker.ask(ENVIRONMENT, ENV_CONTRACT)
                return read_response(response, asker.address), response.server
        found = asker.ask_first((MODEL,), model_contract(model or ""))
        return read_model_response(found, asker.address, model), found.server


def fetch_status(
    address: str, timeout: float | None, credentials: Credentials = ANYBODY
) -> EndpointStatus:
    """What the server at an address is doing.

    Arguments and errors are those of `fetch_contract`.
    """
    with _Asker(address, timeout, credentials) as asker:
        return EndpointStatus.from_proto(asker.ask_first(KINDS, STATUS))


def request_shutdown(
    address: str, timeout: float | None, credentials: Credentials = ANYBODY
) -> None:
    """Ends the server at an address as SIGTERM does, if it allows that.

    Returns when the server has begun to end: the call in flight still finishes.

    Arguments and errors are those of `fetch_contract`, and besides:

    Raises:
        AccessDeniedError: If the server does not allow it.
    """
    with _Asker(address, timeout, credentials) as asker:
        asker.ask_first(KINDS, SHUTDOWN)


class _UnknownServiceError(Exception):
    """The server has no such service."""

    def __init__(self, cause: grpc.RpcError) -> None:
        super().__init__(str(cause))
        self.cause = cause


class _Asker:
    """Asks one endpoint, over its own connection."""

    def __init__(self, address: str, timeout: float | None, credentials: Credentials) -> None:
        check_seconds("timeout", timeout)
        self._parsed = dialable(address)
        self.address = str(self._parsed)
        self._timeout = timeout
        self._channels = ChannelFactory(self._parsed, credentials)
        self._channel = self._channels.channel()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._channel.close()

    def ask(self, kind: Kind, question: Question[RequestType, ResponseType]) -> ResponseType:
        """Asks as if the endpoint were of a kind.

        Raises:
            _UnknownServiceError: If it is of another kind.
            RlmeshError: If no answer comes.
        """
        try:
            return question.ask(self._channels, self._channel, kind.service, self._timeout)
        except grpc.RpcError as error:
            if is_unknown(error):
                raise _UnknownServiceError(error) from error
            raise _unanswered(error, self._parsed, self._timeout) from error

    def ask_first(
        self, kinds: Sequence[Kind], question: Question[RequestType, ResponseType]
    ) -> ResponseType:
        """Asks as if the endpoint were of one of several kinds, and raises if it is of none."""
        *others, last = kinds
        for kind in others:
            with contextlib.suppress(_UnknownServiceError):
                return self.ask(kind, question)
        try:
            return self.ask(last, question)
        except _UnknownServiceError as error:
            raise _unanswered(error.cause, self._parsed, self._timeout) from error.cause


def _unanswered(error: grpc.RpcError, address: Address, timeout: float | None) -> RlmeshError:
    code, details = status_of(error)
    if code is grpc.StatusCode.UNAVAILABLE:
        return EndpointUnreachableError(
            f"no server answers at {address} ({details}); is the server running, and is that "
            f"its address?"
        )
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return EndpointUnreachableError(
            f"no server answers at {address} within {timeout} s; is the server running, and is "
            f"that its address?"
        )
    return error_from_rpc(error, str(address), doing="asking", timeout=timeout)
