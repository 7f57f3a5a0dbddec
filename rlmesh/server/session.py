"""A session: one client's hold on an environment."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field

import grpc

from rlmesh.lanes.door import SECRET_BYTES
from rlmesh.server.costs import Cost
from rlmesh.server.source import PortSource
from rlmesh_api.v1 import session_pb2


@dataclass(slots=True)
class Session:
    """One client's hold on the environment.

    Attributes:
        peer: The client.
        context: Its stream.
        id: The session's name in logs and status pages.
        since: When it began, on the monotonic clock, in seconds.
        in_call: Whether a call of it is being executed, or its answer is on its way.
        secret: What its client shows on another lane; 32 bytes.
        source: Where its calls come from on another lane, if it uses one.
        in_port_call: Whether `in_call` is about a call on that lane.
        cost: What the calls of the kind of the one in progress have cost.
        gone: Whether its client has left.
    """

    peer: session_pb2.Peer
    context: grpc.ServicerContext
    id: str = field(default_factory=lambda: secrets.token_hex(4))
    since: float = field(default_factory=time.monotonic)
    in_call: bool = False
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(SECRET_BYTES), repr=False)
    source: PortSource | None = None
    in_port_call: bool = False
    gone: bool = False
    cost: Cost = field(default_factory=Cost, repr=False)

    def holder(self) -> session_pb2.Holder:
        """The session as it is told to others."""
        return session_pb2.Holder(peer=self.peer, seconds=time.monotonic() - self.since)

    def took(self, seconds: float) -> None:
        """Notes how long the server had the call in progress."""
        self.cost.count += 1
        self.cost.server += seconds
