"""Chooses the transport of a session: what the user asks for, and what is available."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace

from rlmesh.address import LOOPBACK, TcpAddress, parse_address
from rlmesh.client.channel import ChannelFactory
from rlmesh.errors import InvalidAddressError, InvalidArgumentError, ProtocolError
from rlmesh.transports.listener import enter_direct, enter_memory
from rlmesh.transports.pipe import Pipe
from rlmesh.transports.transport import TRANSPORTS
from rlmesh_api.v1 import session_pb2


def wanted_transport(transport: str | None) -> str | None:
    """The transport that the user or `RLMESH_TRANSPORT` asks for; None: the fastest available.

    Raises:
        InvalidArgumentError: If there is no such transport.
    """
    wanted = transport if transport is not None else os.environ.get("RLMESH_TRANSPORT") or None
    if wanted not in (None, *TRANSPORTS):
        source = "RLMESH_TRANSPORT" if transport is None else "transport"
        raise InvalidArgumentError(
            f"{source} must be one of {', '.join(TRANSPORTS)}, or None for the fastest that is "
            f"available, got {wanted!r}"
        )
    return wanted


def enter(
    offers: Iterable[session_pb2.TransportOffer],
    secret: bytes,
    *,
    wanted: str | None,
    channels: ChannelFactory,
    head: int,
) -> tuple[str, Pipe] | None:
    """Connects to the first listener that accepts, of a transport that is wanted.

    Args:
        offers: The transports on offer, the best first.
        secret: The session's secret.
        wanted: The transport to use; None: any.
        channels: Encrypts the connection as those to the endpoint are.
        head: How many bytes of most answers stand before their slab.

    Returns:
        The transport's name and the client's end of its pipe; None where no listener accepts.

    Raises:
        ProtocolError: If the address in an offer cannot be read.
    """
    for offer in offers:
        if wanted not in (None, offer.transport):
            continue
        pipe: Pipe | None = None
        if offer.transport == "shm":
            pipe = enter_memory(offer.address, secret)
        elif offer.transport == "direct":
            pipe = _enter_direct(offer.address, secret, channels, head)
        if pipe is not None:
            return offer.transport, pipe
    return None


def _enter_direct(offered: str, secret: bytes, channels: ChannelFactory, head: int) -> Pipe | None:
    # Without a host it is the endpoint's.
    elsewhere = not offered.startswith(":")
    try:
        address = parse_address(offered if elsewhere else f"{LOOPBACK}{offered}")
    except InvalidAddressError as error:
        raise ProtocolError(f"the server offers no such transport: {error}") from error
    if not isinstance(address, TcpAddress):
        return None
    if not elsewhere:
        address = replace(address, host=channels.host)
    return enter_direct(address.host, address.port, secret, head=head, secure=channels.secure)
