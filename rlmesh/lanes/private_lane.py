"""A lane between a process and a worker that it has started, over a socket that has no name.

Both hold an end of a pair of sockets from the worker's birth, so that nobody else can come in. The
worker gives the segment, as only it knows the environment's slabs.
"""

from __future__ import annotations

import os
import socket
import struct

from rlmesh.lanes.door import SUPPORTED
from rlmesh.lanes.memory_port import MemoryPort, Plan
from rlmesh.lanes.port import Port
from rlmesh.lanes.segment import create_segment
from rlmesh.lanes.socket_port import SocketPort

__all__ = ["offer_port", "take_port"]

_PLAN = struct.Struct("<QQ")


def offer_port(sock: socket.socket, plan: Plan, *, memory: bool = SUPPORTED) -> Port:
    """The worker's end.

    Args:
        sock: Its end of the pair. The port owns it.
        plan: How the segment is divided.
        memory: Whether messages cross shared memory; else they cross the socket.
    """
    words = _PLAN.pack(plan.request, plan.answer)
    if not memory:
        sock.sendall(words)
        return SocketPort(sock)
    descriptor = create_segment(plan.size)
    try:
        socket.send_fds(sock, [words], [descriptor])
    except OSError:
        os.close(descriptor)
        raise
    return MemoryPort(sock, descriptor, plan, client=False)


def take_port(sock: socket.socket, *, also: int | None = None) -> tuple[Port, Plan]:
    """The other end, once the worker has offered its own.

    Args:
        sock: This side's end of the pair. The port owns it.
        also: A descriptor whose readability ends a wait as well; None where there is none.

    Raises:
        OSError: If the worker has gone.
        BadSegmentError: If what it gave is no segment.
    """
    words, descriptors, _, _ = socket.recv_fds(sock, _PLAN.size, 1)
    if len(words) != _PLAN.size:
        raise ConnectionResetError("the other side has gone")
    plan = Plan(*_PLAN.unpack(words))
    if not descriptors:
        return SocketPort(sock, also=also), plan
    return MemoryPort(sock, descriptors[0], plan, client=True, also=also), plan
