"""A pipe of shared memory that a server lends to another process, and that process's side of it.

The numbers of the messages stand in the segment, and so does the last answer. So the lender can go
on at whatever point the other process stops.
"""

from __future__ import annotations

import mmap
import os
import socket

from rlmesh.limits import MAX_MESSAGE_BYTES
from rlmesh.transports.lending import Remains
from rlmesh.transports.pipe import BadFrameError
from rlmesh.transports.shm.doorbell import LINE
from rlmesh.transports.shm.pipe import SegmentLayout, ShmPipe
from rlmesh.transports.shm.segment import BadSegmentError, copy_to_segment, map_segment
from rlmesh.transports.shm.segment_end import HEADER


class LendableShmPipe(ShmPipe):
    """The server's side, which it can lend; see `LendablePipe`.

    Args:
        sock: The Unix socket whose other end the client holds. The pipe owns it.
        descriptor: The segment. The pipe owns it.
        plan: How the segment is divided.
    """

    def __init__(self, sock: socket.socket, descriptor: int, plan: SegmentLayout) -> None:
        self._segment: int | None = os.dup(descriptor)
        try:
            super().__init__(sock, descriptor, plan, client=False)
        except BaseException:
            self._close_segment()
            raise
        self._plan = plan
        self._lent_at = 0

    def lend(self) -> tuple[tuple[int, int], list[int]] | None:
        """What another process needs to use the pipe; see `LendablePipe`."""
        if self._segment is None:
            return None
        self._leave_elsewhere()
        self._lent_at = self._lines[self._mine]
        return (self._plan.request, self._plan.answer), [self._sock.fileno(), self._segment]

    def take_back(self, remains: Remains) -> None:
        """Goes on where the other process has stopped; see `LendablePipe`."""
        self._received = self._lines[self._mine]
        if remains.request is not None:
            self._doorbell.keep_descriptor(os.dup(remains.request))
        if self._received != self._lent_at:
            self._sent_elsewhere = b""
        if remains.answer is not None:
            if remains.answer_bytes > MAX_MESSAGE_BYTES:
                raise BadSegmentError(f"an answer of {remains.answer_bytes} bytes")
            self._sent_elsewhere = map_segment(remains.answer, remains.answer_bytes)

    def take_over(self, call: bytes | None, *, answered: bool) -> None:
        """Goes on where the other process has died; see `LendablePipe`."""
        self.take_back(Remains())

    def unanswered(self) -> bytes | None:
        """The client's last message, if it was not answered; see `LendablePipe`."""
        lines, mine = self._lines, self._mine
        return None if lines[LINE - mine] == lines[mine] else self.last_request()

    def last_request(self) -> bytes:
        """The client's last message; empty if it has its own segment."""
        start, end, elsewhere = HEADER.unpack_from(self._in)
        return b"" if elsewhere else bytes(self._in[start:end])

    def leave_to_parent(self) -> None:
        """Closes what a forked process has inherited of the transport; the parent's goes on."""
        super().leave_to_parent()
        self._close_segment()

    def _leave(self) -> None:
        super()._leave()
        self._close_segment()

    def _close_segment(self) -> None:
        segment, self._segment = self._segment, None
        if segment is not None:
            os.close(segment)


class BorrowedShmPipe(ShmPipe):
    """The other process's side.

    A request that has its own segment is left to the lender, with a `BadFrameError`.

    Args:
        sock: As for `LendableShmPipe`.
        descriptor: As for `LendableShmPipe`.
        plan: As for `LendableShmPipe`.
    """

    def __init__(self, sock: socket.socket, descriptor: int, plan: SegmentLayout) -> None:
        super().__init__(sock, descriptor, plan, client=False)
        # The lender has received and answered so many.
        self._received = self._lines[self._mine]

    def give_back(self, last_request: bytes) -> Remains:
        """Ends the use of the pipe; returns what the lender needs.

        Args:
            last_request: Not used: it stands in the segment.

        Raises:
            SegmentRefusedError: If the system does not give the memory for the last answer.
        """
        last, request = self._sent_elsewhere, self._doorbell.take_kept()
        self._leave()
        answer = copy_to_segment(last) if last else None
        return Remains(request=request, answer=answer, answer_bytes=len(last))

    def _fetch_elsewhere(self, size: int) -> mmap.mmap:
        raise BadFrameError(f"a message of {size} bytes, which the lender receives")
