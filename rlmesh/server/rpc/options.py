"""Where a server answers, and which clients it lets in."""

from __future__ import annotations

from dataclasses import dataclass, field

from rlmesh.address import Address, TcpAddress
from rlmesh.security import Token
from rlmesh.server.announcement import Announcement
from rlmesh.transports.tls import ServerIdentity


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointOptions:
    """Where a server answers, and which clients it lets in.

    Attributes:
        address: Where the gRPC server binds.
        transports: The names of the transports that clients may use.
        direct: Where the transport `direct` listens; None: nowhere.
        openpi: Where clients of openpi are answered; None: nowhere.
        health: Where health is answered besides, in plaintext; None: nowhere.
        metrics: Where the metrics are answered, in plaintext; None: nowhere.
        view: Where browsers are shown what runs; None: nowhere.
        token: What clients must show; None: nothing.
        announcement: Where the address is written while health says SERVING; None: nowhere.
        identity: The server's certificates; None: nothing is encrypted.
    """

    address: Address
    transports: frozenset[str]
    direct: TcpAddress | None = None
    openpi: TcpAddress | None = None
    health: TcpAddress | None = None
    metrics: TcpAddress | None = None
    view: TcpAddress | None = None
    announcement: Announcement | None = None
    token: Token | None = field(default=None, repr=False)
    identity: ServerIdentity | None = field(default=None, repr=False)
