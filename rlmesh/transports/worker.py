"""A transport between a process and a worker that it has started, over a pair of sockets.

Each holds one end from the worker's start, so that no other process can connect. The worker makes
the segment, as only it knows the sizes of the environment's slabs.
"""

from __future__ import annotations

import logging
import os
import socket
import struct

from rlmesh.transports.listener import SUPPORTED
from rlmesh.transports.pipe import Pipe
from rlmesh.transports.shm.pipe import SegmentLayout, ShmPipe
from rlmesh.transports.shm.segment import SegmentRefusedError, create_segment
from rlmesh.transports.tcp.pipe import TcpPipe

__all__ = ["offer_pipe", "take_pipe"]

_log = logging.getLogger("rlmesh.server")

_PLAN = struct.Struct("<QQ")


def offer_pipe(sock: socket.socket, plan: SegmentLayout, *, memory: bool = SUPPORTED) -> Pipe:
    """The worker's end.

    Args:
        sock: Its end of the pair. The pipe owns it.
        plan: How the segment is divided.
        memory: Whether messages cross shared memory. Where they do not, or the system refuses the
            memory, they cross the socket.
    """
    words = _PLAN.pack(plan.request, plan.answer)
    if not memory:
        sock.sendall(words)
        return TcpPipe(sock)
    try:
        descriptor = create_segment(plan.size)
    except SegmentRefusedError as error:
        _log.warning("calls to the environment's process cross a socket: %s", error)
        sock.sendall(words)
        return TcpPipe(sock)
    try:
        socket.send_fds(sock, [words], [descriptor])
    except OSError:
        os.close(descriptor)
        raise
    return ShmPipe(sock, descriptor, plan, client=False)


def take_pipe(sock: socket.socket) -> tuple[Pipe, SegmentLayout]:
    """The other end, once the worker has offered its own.

    Args:
        sock: This side's end of the pair. The pipe owns it.

    Raises:
        OSError: If the worker has gone.
        BadSegmentError: If what it sent is no segment.
    """
    words, descriptors, _, _ = socket.recv_fds(sock, _PLAN.size, 1)
    if len(words) != _PLAN.size:
        raise ConnectionResetError("the worker has gone")
    plan = SegmentLayout(*_PLAN.unpack(words))
    if not descriptors:
        return TcpPipe(sock), plan
    return ShmPipe(sock, descriptors[0], plan, client=True), plan
