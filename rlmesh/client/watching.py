"""Watches an endpoint: its contract, what it is doing, and the newest of its sessions."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator, Iterator
from typing import Any

import grpc

from rlmesh.client.channel import ChannelFactory, dialable
from rlmesh.client.expected_contract import read_model_response, read_response
from rlmesh.client.kinds import (
    ENV_CONTRACT,
    ENVIRONMENT,
    KINDS,
    MODEL,
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
from rlmesh.errors import EndpointUnreachableError, ProtocolError, RlmeshError
from rlmesh.security import Credentials
from rlmesh.transports.failures import error_from_rpc, status_of
from rlmesh_api.v1 import env_service_pb2

__all__ = ["EndpointWatcher"]

# How long the server may take to answer a question; the next one waits so long.
_ANSWER_SECONDS = 5.0
_GONE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


class EndpointWatcher:
    """Watches one endpoint, over its own connection. It opens no session, and calls nothing.

    Any thread may call any method.

    Args:
        address: The endpoint's address.
        credentials: What to come in with.

    Raises:
        InvalidAddressError: If the address is none that can be connected to.
        InvalidCredentialsError: If a file of TLS cannot be used, or the token would cross a network
            in plaintext.
    """

    def __init__(self, address: str, credentials: Credentials) -> None:
        parsed = dialable(address)
        self._address = str(parsed)
        self._channels = ChannelFactory(parsed, credentials)
        self._channel = self._channels.channel()
        self._kind: Kind | None = None
        # Guards `_stream` and `_closed`.
        self._lock = threading.Lock()
        self._stream: Any = None
        self._closed = False

    def status(self) -> EndpointStatus:
        """What the server is doing.

        Raises:
            EndpointUnreachableError: If no server answers.
            AuthenticationError: If the server does not know the client.
            TlsError: If no trusted connection can be made.
            ProtocolError: If what answers does not speak RLMesh.
        """
        if self._kind is None:
            self._kind = self._find_kind()
        return EndpointStatus.from_proto(self._ask(self._kind, STATUS))

    def contracts(self) -> list[EnvContract | ModelContract]:
        """The contract of the environment, or those of the models, by name.

        Raises:
            RlmeshError: As `status` does.
        """
        if self._kind is None:
            self._kind = self._find_kind()
        if self._kind is ENVIRONMENT:
            return [read_response(self._ask(self._kind, ENV_CONTRACT), self._address)]
        names = list(self._ask(MODEL, model_contract("")).models)
        return [
            read_model_response(self._ask(MODEL, model_contract(name)), self._address, name)
            for name in names
        ]

    def watch(
        self, *, rate: float, env_index: int, render_rate: float
    ) -> Iterator[env_service_pb2.WatchResponse]:
        """The newest of every session, again and again, until `stop`.

        Args:
            rate: How many answers a second there are at most.
            env_index: Which sub-environment of a vector environment is shown.
            render_rate: How many times a second the environment's `render` may be called; 0: never.

        Raises:
            EndpointUnreachableError: If the server goes.
            ProtocolError: If the server cannot be watched: it is older than this call.
            RlmeshError: If the server refuses.
        """
        kind = self._kind or ENVIRONMENT
        method = self._channel.unary_stream(
            f"/{kind.service}/Watch",
            request_serializer=env_service_pb2.WatchRequest.SerializeToString,
            response_deserializer=env_service_pb2.WatchResponse.FromString,
        )
        request = env_service_pb2.WatchRequest(
            rate=rate, env_index=env_index, render_rate=render_rate
        )
        with self._lock:
            if self._closed:
                return
            stream = self._stream = method(request)
        try:
            yield from stream
        except grpc.RpcError as error:
            if status_of(error)[0] is grpc.StatusCode.CANCELLED:
                return
            if is_unknown(error):
                raise ProtocolError(
                    f"the server at {self._address} is older than this view, and cannot be "
                    f"watched; what it is doing is shown, and no episode and no image"
                ) from error
            raise self._error(error) from error
        finally:
            stream.cancel()

    def stop(self) -> None:
        """Ends a `watch` in another thread."""
        with self._lock:
            if self._stream is not None:
                self._stream.cancel()

    def close(self) -> None:
        """Ends the connection, and a `watch` in another thread. May be called repeatedly."""
        with self._lock:
            self._closed = True
        self.stop()
        self._channel.close()

    def _find_kind(self) -> Kind:
        for kind in KINDS:
            try:
                with self._open_channel():
                    STATUS.ask(self._channels, self._channel, kind.service, _ANSWER_SECONDS)
            except grpc.RpcError as error:
                if is_unknown(error):
                    continue
                raise self._error(error) from error
            return kind
        raise ProtocolError(
            f"what answers at {self._address} is no RLMesh server; check the address"
        )

    def _ask(self, kind: Kind, question: Question[RequestType, ResponseType]) -> ResponseType:
        try:
            with self._open_channel():
                return question.ask(self._channels, self._channel, kind.service, _ANSWER_SECONDS)
        except grpc.RpcError as error:
            raise self._error(error) from error

    @contextlib.contextmanager
    def _open_channel(self) -> Generator[None]:
        try:
            yield
        except ValueError as error:
            # How grpc says that the channel was closed a moment ago.
            raise EndpointUnreachableError(f"{self._address} is not watched any more") from error

    def _error(self, error: grpc.RpcError) -> RlmeshError:
        code, details = status_of(error)
        if code in _GONE:
            return EndpointUnreachableError(
                f"no server answers at {self._address} ({details}); it is tried again"
            )
        return error_from_rpc(error, self._address, doing="watching", timeout=_ANSWER_SECONDS)
