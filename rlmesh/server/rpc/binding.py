"""Binds to an address, and says clearly why it cannot."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Generator
from dataclasses import replace

import grpc

from rlmesh.address import Address, TcpAddress, UnixAddress
from rlmesh.errors import AddressInUseError, InvalidAddressError


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
        AddressInUseError: If somebody else serves there.
        InvalidAddressError: If the address cannot be bound on this machine.
    """
    if isinstance(address, UnixAddress):
        _free_socket_path(address)
        with _private_files():
            _add_port(server, address, credentials)
        return address
    # With a plain socket first: gRPC tells no reason, and prints to stderr instead.
    listen(address).close()
    return replace(address, port=_add_port(server, address, credentials))


def unlink_socket(address: Address) -> None:
    """Removes the socket file of an address, if it has one that is still there."""
    if isinstance(address, UnixAddress):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(address.path)


def _add_port(
    server: grpc.Server, address: Address, credentials: grpc.ServerCredentials | None
) -> int:
    try:
        port = (
            server.add_insecure_port(address.bind_target)
            if credentials is None
            else server.add_secure_port(address.bind_target, credentials)
        )
    except RuntimeError as error:
        raise InvalidAddressError(f"{address} cannot be bound: {error}") from error
    if port == 0:
        raise InvalidAddressError(f"{address} cannot be bound; choose another address")
    return port


def listen(address: TcpAddress) -> socket.socket:
    """A plain socket that listens at an address.

    Raises:
        AddressInUseError: If somebody else listens there.
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


def _free_socket_path(address: UnixAddress) -> None:
    """Removes a stale socket file; refuses a live one, and leaves any other file alone."""
    path = address.path
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        folder = os.path.dirname(path)
        if not os.path.isdir(folder):
            raise InvalidAddressError(
                f"{address} cannot be bound: the folder {folder} does not exist; make it first"
            ) from None
        return
    except OSError as error:
        raise InvalidAddressError(f"{address} cannot be bound: {error.strerror}") from error
    if not stat.S_ISSOCK(mode):
        raise InvalidAddressError(
            f"{address} cannot be bound: {path} is there and no socket, so it is left alone; "
            f"choose another path"
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except OSError as error:
            raise InvalidAddressError(
                f"{address} cannot be bound: its socket file does not answer ({error}); remove "
                f"{path} if nobody uses it"
            ) from error
    raise AddressInUseError(
        f"{address} is in use: a live server listens on {path}; end it or choose another path"
    )


@contextlib.contextmanager
def _private_files() -> Generator[None]:
    """Makes new files accessible to this user only: a socket file is connectable from its birth."""
    before = os.umask(0o177)
    try:
        yield
    finally:
        os.umask(before)
