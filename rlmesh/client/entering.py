"""Which lane the calls of a session cross by: what is asked for, and what can be had."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace

from rlmesh.address import LOOPBACK, TcpAddress, parse_address
from rlmesh.client.access import Access
from rlmesh.errors import InvalidAddressError, InvalidArgumentError, ProtocolError
from rlmesh.lanes.door import enter_direct, enter_memory
from rlmesh.lanes.lane import LANES
from rlmesh.lanes.port import Port
from rlmesh_api.v1 import session_pb2


def wanted_lane(lane: str | None) -> str | None:
    """The lane to use if it can be had, as a user or `RLMESH_LANE` names it; None: the fastest.

    Raises:
        InvalidArgumentError: If there is no such lane.
    """
    wanted = lane if lane is not None else os.environ.get("RLMESH_LANE") or None
    if wanted not in (None, *LANES):
        source = "RLMESH_LANE" if lane is None else "lane"
        raise InvalidArgumentError(
            f"{source} must be one of {', '.join(LANES)}, or None for the fastest that can be "
            f"had, got {wanted!r}"
        )
    return wanted


def enter(
    offers: Iterable[session_pb2.LaneOffer],
    secret: bytes,
    *,
    wanted: str | None,
    access: Access,
    head: int,
    also: int,
) -> tuple[str, Port] | None:
    """Goes through the first door that opens, of a lane that may be used.

    Args:
        offers: The lanes on offer, the best first.
        secret: The session's secret.
        wanted: The lane to use; None: any.
        access: The way to the endpoint.
        head: How many bytes of most answers stand before their slab.
        also: A descriptor whose readability ends the waits of a connection that cannot tell itself
            when the other side has gone.

    Returns:
        The lane's name and the client's port of it; None where no door opens.

    Raises:
        ProtocolError: If an offer makes no sense.
    """
    for offer in offers:
        if wanted not in (None, offer.lane):
            continue
        port: Port | None = None
        if offer.lane == "shm":
            port = enter_memory(offer.address, secret)
        elif offer.lane == "direct":
            port = _enter_direct(offer.address, secret, access, head, also)
        if port is not None:
            return offer.lane, port
    return None


def _enter_direct(offered: str, secret: bytes, access: Access, head: int, also: int) -> Port | None:
    # Without a host it is to be had where the endpoint is.
    elsewhere = not offered.startswith(":")
    try:
        address = parse_address(offered if elsewhere else f"{LOOPBACK}{offered}")
    except InvalidAddressError as error:
        raise ProtocolError(f"the server offers no such lane: {error}") from error
    if not isinstance(address, TcpAddress):
        return None
    if not elsewhere:
        address = replace(address, host=access.host)
    return enter_direct(
        address.host, address.port, secret, head=head, secure=access.secure, also=also
    )
