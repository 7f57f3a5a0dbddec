"""A port of its own for health, for probes that know neither TLS nor tokens."""

from __future__ import annotations

import threading

import grpc

from rlmesh.address import Address, TcpAddress
from rlmesh.security import Token
from rlmesh.server.rpc.auth import TokenInterceptor
from rlmesh.server.rpc.binding import bind
from rlmesh.server.rpc.call_threads import ThreadPerCall
from rlmesh.server.rpc.health import MAX_ANSWERS, MAX_WATCHES, Health
from rlmesh.transports.grpc.options import server_options

# How long an answer on its way may take to leave at the end.
_FLUSH_SECONDS = 0.2


class HealthPort:
    """Answers the health service in plaintext, and no other method.

    A prober learns there what it learns at the server's own address, with or without the token. The
    limits of `Health` hold for both addresses together.

    Args:
        address: Where.
        token: What the calls that are not for strangers must show; None: nothing.
        health: What answers; the server has the same.

    Attributes:
        address: Where it is bound, port 0 resolved.

    Raises:
        AddressInUseError: If somebody else serves there.
        InvalidAddressError: If the address cannot be bound on this machine.
    """

    def __init__(self, address: TcpAddress, token: Token | None, health: Health) -> None:
        self._server = grpc.server(
            ThreadPerCall(),
            interceptors=[TokenInterceptor(token)],
            options=server_options(),
            maximum_concurrent_rpcs=MAX_WATCHES + 2 * MAX_ANSWERS,
        )
        self._server.add_generic_rpc_handlers((health,))
        self._started = False
        self.address: Address = bind(self._server, address)

    def start(self) -> None:
        """Begins to answer.

        Raises:
            RuntimeError: If the operating system allows no further thread.
        """
        self._server.start()
        self._started = True

    def stop(self) -> None:
        """Frees the port. Calls that still wait are ended."""
        if not self._started:
            # gRPC frees only the port of a server that was started.
            self._server.start()
        try:
            stopped = self._server.stop(_FLUSH_SECONDS)
        except RuntimeError:
            # gRPC starts a thread here, which Python refuses while it exits; the end of the process
            # frees the port then.
            stopped = threading.Event()
            stopped.set()
        stopped.wait(2 * _FLUSH_SECONDS)
