"""The front of an endpoint: its gRPC server with health and reflection, bound to its address."""

from __future__ import annotations

import threading

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from rlmesh.address import Address
from rlmesh.lanes.grpc_options import server_options
from rlmesh.lanes.tls import ServerIdentity
from rlmesh.security import Token
from rlmesh.server.binding import bind, unlink_socket
from rlmesh.server.doors import Doors
from rlmesh.server.guard import Guard
from rlmesh.server.methods import Methods
from rlmesh.server.service import EnvService
from rlmesh.server.threads import ThreadPerCall
from rlmesh_api.v1 import env_service_pb2

_SERVICES = (
    *(service.full_name for service in env_service_pb2.DESCRIPTOR.services_by_name.values()),
    health.SERVICE_NAME,
    reflection.SERVICE_NAME,
)
# Every call is a thread, also one that waits for a place. More at once, beside those of the
# sessions, are refused, not queued.
_MAX_CALLS = 1000
# How long answers that are under way may take to leave after the last call has returned.
_FLUSH_SECONDS = 0.2


class Front:
    """Answers at an address.

    Args:
        service: What answers.
        wanted: Where.
        doors: The lanes on offer beside the stream.
        token: What clients must show; None: nothing.
        identity: What the server identifies itself with; None: what crosses is not encrypted.
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
        wanted: Address,
        doors: Doors,
        token: Token | None = None,
        identity: ServerIdentity | None = None,
        sessions: int = 1,
    ) -> None:
        self._service = service
        self._doors = doors
        self._health = health.HealthServicer()
        self._tell(health_pb2.HealthCheckResponse.NOT_SERVING)
        self._server = grpc.server(
            ThreadPerCall(),
            interceptors=[Guard(token)],
            options=server_options(),
            maximum_concurrent_rpcs=_MAX_CALLS + sessions,
        )
        self._server.add_generic_rpc_handlers((Methods(service),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection(_SERVICES, self._server)
        self._lock = threading.Lock()
        self._started = self._stopped = False
        self.serving: threading.Event = threading.Event()
        self.address: Address = bind(
            self._server, wanted, identity.for_grpc() if identity else None
        )

    def start(self) -> None:
        """Begins to answer, unless `stop` came first; from now on health says SERVING."""
        with self._lock:
            if self._stopped:
                return
            self._started = True
            self._service.begin(self._doors.open())
            self._server.start()
        self._tell(health_pb2.HealthCheckResponse.SERVING)
        self.serving.set()

    def drain(self) -> None:
        """Has health say NOT_SERVING from now on."""
        self._health.enter_graceful_shutdown()

    def stop(self) -> None:
        """Ends every call, after a moment for answers under way, and frees the address."""
        with self._lock:
            self._stopped = True
            self._doors.close()
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

    def _tell(self, status: int) -> None:
        for name in (health.OVERALL_HEALTH, *_SERVICES):
            self._health.set(name, status)
