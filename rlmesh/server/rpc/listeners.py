"""The transports that a server offers beside the stream, and their listeners."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import replace
from typing import Protocol

from rlmesh.address import TcpAddress
from rlmesh.codec.infos.type_guards import is_collection
from rlmesh.errors import ArgumentTypeError, InvalidArgumentError
from rlmesh.server.rpc.binding import listen
from rlmesh.server.rpc.options import EndpointOptions
from rlmesh.transports.listener import (
    SUPPORTED,
    Authenticate,
    Listener,
    open_direct_listener,
    open_shm_listener,
)
from rlmesh.transports.shm.pipe import SegmentLayout
from rlmesh.transports.transport import TRANSPORTS
from rlmesh_api.v1 import session_pb2


def check_transports(transports: object, direct: object) -> frozenset[str]:
    """The transports that clients may use, as a user names them.

    Args:
        transports: Their names; None for all that are available.
        direct: The address of the direct transport; None if it is not offered.

    Raises:
        ArgumentTypeError: If `transports` is no collection of names.
        InvalidArgumentError: If a name is unknown, or `direct` and `transports` contradict each
            other.
    """
    if transports is None:
        return frozenset(TRANSPORTS if direct is not None else set(TRANSPORTS) - {"direct"})
    if not is_collection(transports):
        raise ArgumentTypeError(
            f"transports must be a collection of names, as ('shm', 'grpc'), or None for all, got "
            f"{transports!r:.80}"
        )
    wanted = list(transports)
    unknown = [repr(name) for name in wanted if name not in TRANSPORTS]
    if unknown:
        raise InvalidArgumentError(
            f"transports must be some of {', '.join(TRANSPORTS)}, got {', '.join(unknown):.80}"
        )
    if ("direct" in wanted) != (direct is not None):
        raise InvalidArgumentError(
            "the transport direct needs a port of its own: give direct='tcp://HOST:PORT' and name "
            "'direct' among the transports, or neither"
        )
    return frozenset(name for name in TRANSPORTS if name in wanted)


class OtherListener(Protocol):
    """Listens for clients of another protocol."""

    def open(self) -> None:
        """Begins to answer."""
        ...

    def close(self) -> None:
        """Takes no further connections. May be called repeatedly."""
        ...


class Listeners:
    """The listeners of a server.

    Args:
        options: Which transports are offered, where, and with which certificates.
        plan: How segments of shared memory are divided.
        authenticate: Finds the session that a secret belongs to.
        lendable: Whether a worker process may answer the calls of a connection by itself.

    Attributes:
        direct: The address of the direct transport, port 0 resolved; None if it is not offered.

    Raises:
        AddressInUseError: If another program listens there.
        InvalidAddressError: If the address cannot be bound on this machine.
    """

    def __init__(
        self,
        options: EndpointOptions,
        plan: SegmentLayout,
        authenticate: Authenticate,
        *,
        lendable: bool = False,
    ) -> None:
        self._lendable = lendable
        self._memory = SUPPORTED and "shm" in options.transports
        self._plan = plan
        self._authenticate = authenticate
        self._identity = options.identity
        self._listeners: list[Listener] = []
        self._others: list[OtherListener] = []
        self._direct_socket: socket.socket | None = None
        direct = self.direct = options.direct
        if direct is not None:
            self._direct_socket = listen(direct)
            self.direct = replace(direct, port=self._direct_socket.getsockname()[1])

    def add(self, other: OtherListener) -> None:
        """Has a listener for clients of another protocol open and close with these."""
        self._others.append(other)

    def open(self) -> list[session_pb2.TransportOffer]:
        """Opens the listeners; returns what clients are offered, the best first."""
        offers: list[session_pb2.TransportOffer] = []
        if self._memory:
            name, listener = open_shm_listener(
                self._plan, self._authenticate, lendable=self._lendable
            )
            self._listeners.append(listener)
            offers.append(session_pb2.TransportOffer(transport="shm", address=name))
        if self._direct_socket is not None and self.direct is not None:
            bound, self._direct_socket = self._direct_socket, None
            self._listeners.append(
                open_direct_listener(
                    bound, self._authenticate, self._identity, lendable=self._lendable
                )
            )
            offers.append(
                session_pb2.TransportOffer(transport="direct", address=_offered(self.direct))
            )
        for other in self._others:
            other.open()
        return offers

    def close(self) -> None:
        """Accepts no more connections. May be called repeatedly."""
        if self._direct_socket is not None:
            self._direct_socket.close()
        for listener in self._listeners:
            listener.close()
        for other in self._others:
            other.close()
        self._listeners.clear()


def _offered(address: TcpAddress) -> str:
    """An address as clients get it. A host that stands for every host is left out."""
    try:
        everywhere = ipaddress.ip_address(address.host).is_unspecified
    except ValueError:
        everywhere = False
    return f":{address.port}" if everywhere else str(address).removeprefix("tcp://")
