"""The gRPC server of an endpoint: its methods, its threads, its address."""

from __future__ import annotations

import threading
from collections.abc import Collection
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha import reflection

from rlmesh.address import Address, UnixAddress
from rlmesh.server.rpc.auth import TokenInterceptor
from rlmesh.server.rpc.binding import bind
from rlmesh.server.rpc.call_threads import ThreadPerCall
from rlmesh.server.rpc.health import SERVICE_NAME as HEALTH
from rlmesh.server.rpc.health import Health
from rlmesh.server.rpc.health_port import HealthPort
from rlmesh.server.rpc.listeners import Listeners
from rlmesh.server.rpc.options import EndpointOptions
from rlmesh.server.rpc.polling import survive_memory_errors
from rlmesh.server.rpc.service import EndpointService
from rlmesh.server.rpc.socket_file import file_at, remove_file
from rlmesh.transports.grpc.forks import use_grpc
from rlmesh.transports.grpc.options import server_options
from rlmesh.transports.grpc.transport import session_method
from rlmesh.transports.system_resources import system_resources


class Methods(grpc.GenericRpcHandler):
    """What gRPC asks for the methods of the service.

    They are those that the generated code adds. Only the messages of `Session` stay bytes: the
    session reads and writes them itself.
    """

    def __init__(self, service: EndpointService) -> None:
        self._service = service
        name = service.descriptor.full_name
        self._session_method = session_method(name)
        self._handlers = {
            f"/{name}/{method.name}": _handler(service, method)
            for method in service.descriptor.methods
            if f"/{name}/{method.name}" != self._session_method
        }

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """What handles a call; None if it is none of the service's."""
        if handler_call_details.method == self._session_method:
            # Without serializers: see above.
            return grpc.stream_stream_rpc_method_handler(self._service.session().serve)
        return self._handlers.get(handler_call_details.method)


# Every call is a thread, also one that waits. gRPC refuses calls beyond this number and the number
# of sessions.
_MAX_CALLS = 1000
# How long answers on their way may take to leave after the last call has returned.
_FLUSH_SECONDS = 0.2


def _handler(service: EndpointService, method: MethodDescriptor) -> grpc.RpcMethodHandler[Any, Any]:
    behaviour = getattr(service, method.name)
    read = GetMessageClass(method.input_type).FromString
    if method.server_streaming:
        # Without a serializer: several viewers are sent the same bytes.
        return grpc.unary_stream_rpc_method_handler(behaviour, request_deserializer=read)
    return grpc.unary_unary_rpc_method_handler(
        behaviour,
        request_deserializer=read,
        response_serializer=GetMessageClass(method.output_type).SerializeToString,
    )


class RpcServer:
    """Answers at an address.

    Args:
        service: What answers.
        options: Where, and which clients are let in.
        listeners: The transports on offer beside the stream.
        sessions: How many sessions there can be at once.
        names: The names that health knows besides those of the services.
        private: Where it answers besides, in plaintext, for processes that it has started itself.

    Attributes:
        address: Where it is bound, port 0 resolved.
        serving: Set once health says SERVING for the whole server.

    Raises:
        AddressInUseError: If somebody else serves there.
        InvalidAddressError: If the address cannot be bound on this machine.
        SystemResourceError: If too few descriptors are free.
    """

    def __init__(
        self,
        service: EndpointService,
        options: EndpointOptions,
        listeners: Listeners,
        sessions: int,
        names: Collection[str] = (),
        private: UnixAddress | None = None,
    ) -> None:
        self._service = service
        self._listeners = listeners
        services = (service.descriptor.full_name, HEALTH, reflection.SERVICE_NAME)
        self._health = Health(("", *services, *names))
        use_grpc(f"serve at {options.address}")
        self._guard = TokenInterceptor(options.token)
        self._server = grpc.server(
            ThreadPerCall(),
            interceptors=[self._guard],
            options=server_options(),
            maximum_concurrent_rpcs=_MAX_CALLS + sessions,
        )
        survive_memory_errors(self._server, service.break_streams)
        self._server.add_generic_rpc_handlers((Methods(service), self._health))
        reflection.enable_server_reflection(services, self._server)
        self._announcement = options.announcement
        self._lock = threading.Lock()
        self._started = self._stopped = self._draining = False
        self.serving: threading.Event = threading.Event()
        self._health_port = (
            None
            if options.health is None
            else HealthPort(options.health, options.token, self._health)
        )
        try:
            self.address: Address = bind(
                self._server,
                options.address,
                options.identity.for_grpc() if options.identity else None,
            )
            if private is not None:
                bind(self._server, private)
        except BaseException:
            if self._health_port is not None:
                self._health_port.stop()
            raise
        self._socket_file = file_at(self.address)

    @property
    def health_address(self) -> Address | None:
        """Where health is answered in plaintext, port 0 resolved; None: nowhere else."""
        return None if self._health_port is None else self._health_port.address

    @property
    def strangers(self) -> int:
        """How many calls were refused because they showed no valid token. Any thread may ask."""
        return self._guard.refused

    def start(self) -> None:
        """Begins to answer, unless `stop` came first. Health says NOT_SERVING until `serve`.

        Raises:
            SystemResourceError: If the operating system refuses what a listener needs.
            RuntimeError: If it allows no further thread.
        """
        with self._lock:
            if self._stopped:
                return
            with system_resources(f"start the server at {self.address}"):
                self._service.begin(self._listeners.open())
            self._server.start()
            if self._health_port is not None:
                self._health_port.start()
            self._started = True

    def serve(self, names: Collection[str] | None = None) -> None:
        """From now on health says SERVING, unless `drain` or `stop` came first.

        Args:
            names: Of these names only; None: of every name. The address is announced then.

        Raises:
            SystemResourceError: If the address cannot be announced.
        """
        with self._lock:
            if self._stopped or self._draining or not self._started:
                return
            if names is None and self._announcement is not None:
                self._announcement.publish(self.address)
            self._health.set(serving=True, names=names)
        if names is None:
            self.serving.set()

    def pause(self, names: Collection[str] | None) -> None:
        """From now on health says NOT_SERVING, until `serve`.

        Args:
            names: Of these names, and of the whole server; None: of every name.
        """
        with self._lock:
            self._health.set(serving=False, names=None if names is None else ["", *names])

    def drain(self) -> None:
        """From now on health says NOT_SERVING, and the address is no longer announced.

        It waits for no caller.
        """
        with self._lock:
            self._draining = True
            self._health.set(serving=False)
            if self._announcement is not None:
                self._announcement.withdraw()

    def stop(self) -> None:
        """Ends every call, after a moment for answers on their way, and frees the address."""
        with self._lock:
            self._stopped = True
            self._listeners.close()
            self._health.end()
            if not self._started:
                # gRPC frees only the port of a server that was started.
                self._server.start()
        try:
            stopped = self._server.stop(_FLUSH_SECONDS)
        except RuntimeError:
            # gRPC starts a thread here, which Python refuses while it exits. The end of the process
            # does the rest; only answers on their way need a moment.
            stopped = threading.Event()
        # Not without a limit: gRPC waits in vain for a stream that a stranger broke with bytes that
        # are no message. By then the port is free and every stream has ended.
        stopped.wait(2 * _FLUSH_SECONDS)
        if self._health_port is not None:
            self._health_port.stop()
        remove_file(self.address, self._socket_file)
