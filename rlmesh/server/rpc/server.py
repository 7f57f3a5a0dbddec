"""The threads on which gRPC calls the service."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent import futures
from typing import Any, TypeVar

import grpc
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha import reflection

from rlmesh.address import Address
from rlmesh.server.rpc.auth import TokenInterceptor
from rlmesh.server.rpc.binding import bind, unlink_socket
from rlmesh.server.rpc.health import SERVICE_NAME as HEALTH
from rlmesh.server.rpc.health import Health
from rlmesh.server.rpc.listeners import Listeners
from rlmesh.server.rpc.options import EndpointOptions
from rlmesh.server.rpc.service import EnvService
from rlmesh.transports.grpc.options import server_options
from rlmesh.transports.grpc.transport import SESSION_METHOD
from rlmesh_api.v1 import env_service_pb2

T = TypeVar("T")


class ThreadPerCall(futures.ThreadPoolExecutor):
    """Runs every call on a daemon thread of its own. grpc asks for the class and calls `submit`.

    A session lasts as long as its client stays, and Python waits at its end for the threads of a
    `ThreadPoolExecutor`: a program that forgot to shut its server down would not end before its
    clients do. A thread costs some ten microseconds, once for each session.
    """

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> futures.Future[T]:
        """Begins to run `fn`; that no thread can be had is told in the future."""
        future: futures.Future[T] = futures.Future()
        thread = threading.Thread(
            target=_run, args=(future, fn, args, kwargs), name="rlmesh-rpc", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as error:
            # Raised here it would end the thread on which grpc takes every call.
            future.set_exception(error)
        return future


def _run(
    future: futures.Future[T], fn: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    try:
        result = fn(*args, **kwargs)
    except BaseException as error:  # noqa: BLE001 - handed to whoever holds the future
        future.set_exception(error)
    else:
        future.set_result(result)


_SERVICE = env_service_pb2.DESCRIPTOR.services_by_name["EnvService"]


class Methods(grpc.GenericRpcHandler):
    """What gRPC asks for the methods of the service.

    It gives what the generated `add_EnvServiceServicer_to_server` would add, but for `Session`,
    whose messages stay bytes here: they are read and written in one go.
    """

    def __init__(self, service: EnvService) -> None:
        self._service = service
        self._handlers = {
            f"/{_SERVICE.full_name}/{method.name}": grpc.unary_unary_rpc_method_handler(
                getattr(service, method.name),
                request_deserializer=GetMessageClass(method.input_type).FromString,
                response_serializer=GetMessageClass(method.output_type).SerializeToString,
            )
            for method in _SERVICE.methods
            if not SESSION_METHOD.endswith(f"/{method.name}")
        }

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """What handles a call; None if it is none of the service's."""
        if handler_call_details.method == SESSION_METHOD:
            # Without serializers: what crosses is read and written in one go.
            return grpc.stream_stream_rpc_method_handler(self._service.session().serve)
        return self._handlers.get(handler_call_details.method)


_SERVICES = (
    *(service.full_name for service in env_service_pb2.DESCRIPTOR.services_by_name.values()),
    HEALTH,
    reflection.SERVICE_NAME,
)
# Every call is a thread, also one that waits for a place. More at once, beside those of the
# sessions, are refused, not queued.
_MAX_CALLS = 1000
# How long answers that are under way may take to leave after the last call has returned.
_FLUSH_SECONDS = 0.2


class RpcServer:
    """Answers at an address.

    Args:
        service: What answers.
        options: Where, and which clients are let in.
        listeners: The transports on offer beside the stream.
        sessions: How many sessions there can be at once.

    Attributes:
        address: Where it is bound, port 0 resolved.
        serving: Set once calls are answered.

    Raises:
        AddressInUseError: If somebody else serves there.
        InvalidAddressError: If the address cannot be bound on this machine.
    """

    def __init__(
        self,
        service: EnvService,
        options: EndpointOptions,
        listeners: Listeners,
        sessions: int,
    ) -> None:
        self._service = service
        self._listeners = listeners
        self._health = Health(("", *_SERVICES))
        self._server = grpc.server(
            ThreadPerCall(),
            interceptors=[TokenInterceptor(options.token)],
            options=server_options(),
            maximum_concurrent_rpcs=_MAX_CALLS + sessions,
        )
        self._server.add_generic_rpc_handlers((Methods(service), self._health))
        reflection.enable_server_reflection(_SERVICES, self._server)
        self._lock = threading.Lock()
        self._started = self._stopped = False
        self.serving: threading.Event = threading.Event()
        self.address: Address = bind(
            self._server,
            options.address,
            options.identity.for_grpc() if options.identity else None,
        )

    def start(self) -> None:
        """Begins to answer, unless `stop` came first; from now on health says SERVING."""
        with self._lock:
            if self._stopped:
                return
            self._started = True
            self._service.begin(self._listeners.open())
            self._server.start()
        self._health.set(serving=True)
        self.serving.set()

    def drain(self) -> None:
        """Has health say NOT_SERVING from now on."""
        self._health.set(serving=False)

    def stop(self) -> None:
        """Ends every call, after a moment for answers under way, and frees the address."""
        with self._lock:
            self._stopped = True
            self._listeners.close()
            self._health.end()
            if not self._started:
                # grpc frees the port of a server that it started, and of no other.
                self._server.start()
        try:
            stopped = self._server.stop(_FLUSH_SECONDS)
        except RuntimeError:
            # grpc starts a thread here, which Python refuses while it exits. The end of the process
            # does the rest; only the answers under way need their moment.
            stopped = threading.Event()
        # Not for ever: grpc waits in vain for a stream that a stranger broke with bytes that are
        # no message. The port is free and every stream ended by then.
        stopped.wait(2 * _FLUSH_SECONDS)
        unlink_socket(self.address)
