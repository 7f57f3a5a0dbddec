"""The lanes that a server has on offer beside the stream, and the doors to them."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import replace

from rlmesh.address import TcpAddress
from rlmesh.errors import ArgumentTypeError, InvalidArgumentError
from rlmesh.lanes.door import SUPPORTED, Admit, Door, open_direct_door, open_memory_door
from rlmesh.lanes.lane import LANES
from rlmesh.lanes.memory_port import Plan
from rlmesh.lanes.tls import ServerIdentity
from rlmesh.server.binding import listen
from rlmesh.values.guards import is_collection
from rlmesh_api.v1 import session_pb2


def check_lanes(lanes: object, direct: object) -> frozenset[str]:
    """The lanes that clients may use, as a user names them.

    Args:
        lanes: Their names; None for all that can be had.
        direct: Where the direct lane is to be had, if anywhere.

    Raises:
        ArgumentTypeError: If `lanes` is no collection of names.
        InvalidArgumentError: If a name is unknown, or `direct` and `lanes` contradict each other.
    """
    if lanes is None:
        return frozenset(LANES if direct is not None else set(LANES) - {"direct"})
    if not is_collection(lanes):
        raise ArgumentTypeError(
            f"lanes must be a collection of names, as ('shm', 'grpc'), or None for all, got "
            f"{lanes!r:.80}"
        )
    wanted = list(lanes)
    unknown = [repr(name) for name in wanted if name not in LANES]
    if unknown:
        raise InvalidArgumentError(
            f"lanes must be some of {', '.join(LANES)}, got {', '.join(unknown):.80}"
        )
    if ("direct" in wanted) != (direct is not None):
        raise InvalidArgumentError(
            "the lane direct needs a port of its own: give direct='tcp://HOST:PORT' and name "
            "'direct' among the lanes, or neither"
        )
    return frozenset(name for name in LANES if name in wanted)


class Doors:
    """The doors of a server.

    Args:
        lanes: The names of the lanes that clients may use.
        direct: Where the direct lane is to be had; None: nowhere.
        plan: How segments of shared memory are divided.
        admit: Who may come in.
        identity: What the server identifies itself with; None: what crosses is not encrypted.

    Attributes:
        direct: Where the direct lane is to be had, port 0 resolved.

    Raises:
        AddressInUseError: If somebody else listens there.
        InvalidAddressError: If the address cannot be bound on this machine.
    """

    def __init__(
        self,
        lanes: frozenset[str],
        direct: TcpAddress | None,
        plan: Plan,
        admit: Admit,
        identity: ServerIdentity | None = None,
    ) -> None:
        self._memory = SUPPORTED and "shm" in lanes
        self._plan = plan
        self._admit = admit
        self._identity = identity
        self._doors: list[Door] = []
        self._listener: socket.socket | None = None
        self.direct = direct
        if direct is not None:
            self._listener = listen(direct)
            self.direct = replace(direct, port=self._listener.getsockname()[1])

    def open(self) -> list[session_pb2.LaneOffer]:
        """Opens the doors; what clients are told of them, the best first."""
        offers: list[session_pb2.LaneOffer] = []
        if self._memory:
            name, door = open_memory_door(self._plan, self._admit)
            self._doors.append(door)
            offers.append(session_pb2.LaneOffer(lane="shm", address=name))
        if self._listener is not None and self.direct is not None:
            listener, self._listener = self._listener, None
            self._doors.append(open_direct_door(listener, self._admit, self._identity))
            offers.append(session_pb2.LaneOffer(lane="direct", address=_told(self.direct)))
        return offers

    def close(self) -> None:
        """Lets nobody in any more. May be called repeatedly."""
        if self._listener is not None:
            self._listener.close()
        for door in self._doors:
            door.close()
        self._doors.clear()


def _told(address: TcpAddress) -> str:
    """An address as clients are told it: without a host that means every one of this machine."""
    try:
        everywhere = ipaddress.ip_address(address.host).is_unspecified
    except ValueError:
        everywhere = False
    return f":{address.port}" if everywhere else str(address).removeprefix("tcp://")
