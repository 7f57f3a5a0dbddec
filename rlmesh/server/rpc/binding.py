"""Binds to an address, and says clearly why it cannot."""

from __future__ import annotations

import errno
import socket
from dataclasses import replace

import grpc

from rlmesh.address import Address, TcpAddress, UnixAddress
from rlmesh.errors import AddressInUseError, InvalidAddressError
from rlmesh.server.rpc.socket_file import socket_file


def bind(
    server: grpc.Server, address: Address, credentials: grpc.ServerCredentials | None = None
) -> Address:
    """Binds a server that has not been started.

    Args:
        server: The server.
        address: Where.
        credentials: What encrypts; None: nothing is encrypted.

    Returns:
        The address with the port that was chosen.

    Raises:
        AddressInUseError: If another server serves there.
        InvalidAddressError: If the address cannot be bound on this machine.
    """
    if isinstance(address, UnixAddress):
        with socket_file(address) as path:
            _add_port(server, address, UnixAddress(path).bind_target, credentials)
        return address
    # With a plain socket first: gRPC gives no reason, and prints to stderr instead.
    listen(address).close()
    port = _add_port(server, address, address.bind_target, credentials)
    return replace(address, port=port)


def _add_port(
    server: grpc.Server,
    address: Address,
    target: str,
    credentials: grpc.ServerCredentials | None,
) -> int:
    try:
        port = (
            server.add_insecure_port(target)
            if credentials is None
            else server.add_secure_port(target, credentials)
        )
    except RuntimeError as error:
        raise InvalidAddressError(f"{address} cannot be bound: {error}") from error
    if port == 0:
        raise InvalidAddressError(f"{address} cannot be bound; choose another address")
    return port


def listen(address: TcpAddress) -> socket.socket:
    """A plain socket that listens at an address.

    Raises:
        AddressInUseError: If another program listens there.
        InvalidAddressError: If the address cannot be bound on this machine.
    """
    try:
        candidates = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except socket.gaierror as error:
        raise InvalidAddressError(
            f"{address} cannot be bound: the host {address.host!r} is unknown ({error.strerror})"
        ) from error
    family, kind, protocol, _, where = candidates[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
        # Two sockets may bind to one port with SO_REUSEADDR; only one may listen.
        listener.listen()
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise AddressInUseError(
                f"{address} is in use by another program; choose another port, or 0 for a free one"
            ) from error
        raise InvalidAddressError(
            f"{address} cannot be bound on this machine: {error.strerror}"
        ) from error
    return listener
