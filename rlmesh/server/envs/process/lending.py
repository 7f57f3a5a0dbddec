"""What a server needs to lend pipes to one worker: a channel, and the worker's call page."""

from __future__ import annotations

import contextlib
import logging
import os
import socket

from rlmesh.server.envs.process.call_page import PAGE_BYTES, CallPage
from rlmesh.transports.listener import SUPPORTED
from rlmesh.transports.shm.segment import SegmentRefusedError, create_segment, map_segment

_log = logging.getLogger("rlmesh.server")


class Lending:
    """The server's ends of what a worker needs to use the pipes of clients.

    Args:
        channel: The server's end of the socket for loans.
        theirs: The descriptors of the worker's end, and of the page.
        page: The call page.

    Attributes:
        channel: As given.
        theirs: As given; valid until `close_theirs`.
        page: As given.
    """

    def __init__(self, channel: socket.socket, theirs: tuple[int, int], page: CallPage) -> None:
        self.channel: socket.socket = channel
        self.theirs: tuple[int, int] = theirs
        self.page: CallPage = page
        self._open = contextlib.ExitStack()
        for descriptor in theirs:
            self._open.callback(os.close, descriptor)
        self._loans = 0

    def next_number(self) -> int:
        """The number of the next loan. Only the slot's thread asks."""
        self._loans += 1
        return self._loans

    def close_theirs(self) -> None:
        """Closes the worker's ends in this process, once the worker has them."""
        self._open.close()

    def close(self) -> None:
        """Ends it; may be called repeatedly."""
        self.close_theirs()
        self.channel.close()


def open_lending() -> Lending | None:
    """What a new worker needs; None where the system does not have or give it."""
    if not SUPPORTED:
        return None
    try:
        descriptor = create_segment(PAGE_BYTES)
    except SegmentRefusedError as error:
        _log.warning("clients reach the environment's process through the server: %s", error)
        return None
    with contextlib.ExitStack() as undo:
        undo.callback(os.close, descriptor)
        page = CallPage(map_segment(descriptor, PAGE_BYTES))
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        undo.pop_all()
    return Lending(mine, (theirs.detach(), descriptor), page)
