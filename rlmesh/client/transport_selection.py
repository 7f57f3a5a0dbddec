"""Chooses the transport of a session: what the user asks for, and what is available."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterable
from dataclasses import replace
from itertools import islice

from rlmesh.address import LOOPBACK, TcpAddress, parse_address
from rlmesh.client.channel import ChannelFactory
from rlmesh.errors import InvalidAddressError, InvalidArgumentError, ProtocolError
from rlmesh.foreign_text import LONGEST_TEXT, one_line
from rlmesh.transports.listener import GREETING_SECONDS, enter_direct, enter_memory
from rlmesh.transports.pipe import Pipe
from rlmesh.transports.transport import TRANSPORTS
from rlmesh_api.v1 import session_pb2

_log = logging.getLogger("rlmesh.client")

MAX_OFFERS = 4
"""How many offers of a server a client looks at."""


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
    deadline: float,
    silent_seconds: float | None,
) -> tuple[str, Pipe] | None:
    """Connects to the first listener that accepts, of a transport that is wanted.

    Args:
        offers: The transports on offer, the best first.
        secret: The session's secret.
        wanted: The transport to use; None: any.
        channels: Encrypts the connection as those to the endpoint are.
        head: How many bytes of most answers stand before their slab.
        deadline: Until when the client looks for a transport, on the monotonic clock.
        silent_seconds: As for `enter_direct`.

    Returns:
        The transport's name and the client's end of its pipe; None where no listener accepts.

    Raises:
        ProtocolError: If the address in an offer cannot be read.
    """
    for offer in islice(offers, MAX_OFFERS):
        if wanted not in (None, offer.transport):
            continue
        seconds = min(deadline - time.monotonic(), GREETING_SECONDS)
        if seconds <= 0:
            return None
        pipe: Pipe | None = None
        if offer.transport == "shm":
            pipe = enter_memory(offer.address, secret, seconds)
        elif offer.transport == "direct":
            where = _direct_address(offer.address, channels, anywhere=wanted == "direct")
            if where is not None:
                host, port = where.host, where.port
                pipe = enter_direct(
                    host,
                    port,
                    secret,
                    head=head,
                    secure=channels.secure,
                    seconds=seconds,
                    silent_seconds=silent_seconds,
                )
        if pipe is not None:
            return offer.transport, pipe
    return None


def _direct_address(offered: str, channels: ChannelFactory, *, anywhere: bool) -> TcpAddress | None:
    """Where an offer leads, if the client goes there: to the endpoint's host, unless `anywhere`."""
    # Without a host it is the endpoint's.
    here = offered.startswith(":")
    try:
        address = parse_address(f"{LOOPBACK}{offered}" if here else offered)
    except InvalidAddressError as error:
        raise ProtocolError(
            f"the server offers no such transport: {one_line(str(error), LONGEST_TEXT)}"
        ) from error
    if not isinstance(address, TcpAddress):
        return None
    if here:
        return replace(address, host=channels.host)
    if anywhere or _is_one_host(address, TcpAddress(channels.host, 0)):
        return address
    _log.info(
        "the server at %s offers the transport direct at %s, which is another host; "
        'transport="direct" uses it',
        channels.host,
        one_line(str(address)),
    )
    return None


def _is_one_host(one: TcpAddress, other: TcpAddress) -> bool:
    if one.host == other.host or (one.is_loopback and other.is_loopback):
        return True
    return bool(_resolved(one.host) & _resolved(other.host))


def _resolved(host: str) -> set[str]:
    try:
        return {str(where[0]) for *_, where in socket.getaddrinfo(host, None)}
    except OSError:
        return set()
