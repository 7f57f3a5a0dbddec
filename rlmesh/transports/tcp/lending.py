"""A connection that a server lends to another process, and that process's side of it.

What a process has read from a connection is gone from it. So the other process passes it back, and
its last answer too. When it dies in a call, the lender answers. When it dies at another point,
nobody knows what it has read and sent. The lender ends the connection then, and the client resumes
its session.
"""

from __future__ import annotations

import socket

from rlmesh.codec.slab.protocols import Readable
from rlmesh.limits import MAX_MESSAGE_BYTES
from rlmesh.transports.lending import Remains
from rlmesh.transports.shm.segment import BadSegmentError, copy_to_segment, map_segment
from rlmesh.transports.tcp.pipe import LENGTH, TcpPipe

# A request, the beginning of another one, which a peer that does not wait may have sent, an answer.
_MOST_BYTES = 3 * MAX_MESSAGE_BYTES
_PEEKED_BYTES = 1 << 16


class LendableTcpPipe(TcpPipe):
    """The server's side, which it can lend; see `LendablePipe`.

    Args:
        sock: The connection. The pipe owns it.
    """

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self._socket = sock
        self._lent = False

    def lend(self) -> tuple[tuple[int, int], list[int]] | None:
        """What another process needs to use the pipe; see `LendablePipe`."""
        _, _, arrived, returned = self._inbound
        if self._unsent() or sum(arrived) > returned:
            return None
        self._lent = True
        return (0, 0), [self._socket.fileno()]

    def take_back(self, remains: Remains) -> None:
        """Goes on where the other process has stopped; see `LendablePipe`."""
        self._lent = False
        content = _taken(remains.request, remains.request_bytes + remains.answer_bytes)
        request, answer = content[: remains.request_bytes], content[remains.request_bytes :]
        if remains.request_end > len(request) or remains.answer_left > len(answer):
            raise BadSegmentError(f"impossible remains of a connection: {remains}")
        self._hold(request, remains.request_end)
        if answer:
            self._outbound = (self._outbound[0], memoryview(answer), [remains.answer_left])
            if self._unsent():
                self._push()

    def take_over(self, call: bytes | None, *, answered: bool) -> None:
        """Goes on where the other process has died; see `LendablePipe`."""
        self._lent = False
        if answered:
            # The last answer has died with it.
            self._outbound = (self._outbound[0], memoryview(b""), [])
        if call is None:
            self._hold(b"", 0)
            self.close()
        else:
            self._hold(LENGTH.pack(len(call)) + call, 0)

    def unanswered(self) -> bytes | None:
        """The client's last message, if it was not answered; see `LendablePipe`."""
        if not self._lent:
            _, view, arrived, returned = self._inbound
            return _message(view, sum(arrived)) if sum(arrived) > returned else None
        try:
            # Of what the other process has not read yet.
            found = self._socket.recv(_PEEKED_BYTES, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except OSError:
            return None
        return _message(found, len(found)) if found else None

    def last_request(self) -> bytes:
        """The client's last message; empty where the other process has died with it."""
        _, view, _, returned = self._inbound
        return _message(view, returned)

    def _hold(self, arrived: bytes, returned: int) -> None:
        """Replaces what has arrived, of which so many bytes are the last message."""
        view = self._buffer(len(arrived))
        view[: len(arrived)] = arrived
        self._inbound = (self._inbound[0], view, [len(arrived)], returned)


class BorrowedTcpPipe(TcpPipe):
    """The other process's side.

    Args:
        sock: The connection. The pipe owns it.
    """

    def give_back(self, last_request: bytes) -> Remains:
        """Ends the use of the pipe; returns what the lender needs.

        Args:
            last_request: The last request, if it was answered; empty for a step.

        Raises:
            SegmentRefusedError: If the system does not give the memory for it.
        """
        received, view, arrived, _ = self._inbound
        sent, frame, left = self._outbound
        self._sock.close()
        request: list[Readable] = [view[: sum(arrived)]]
        end = 0
        if sent == received:
            # The connection has dropped the request from what has arrived.
            head = LENGTH.pack(len(last_request)) + last_request
            request, end = [head, *request], len(head)
        nbytes = sum(map(len, request))
        return Remains(
            request=copy_to_segment(*request, frame) if nbytes or frame else None,
            request_bytes=nbytes,
            request_end=end,
            answer_bytes=len(frame),
            answer_left=min(sum(left), len(frame)),
        )


def _message(view: Readable, arrived: int) -> bytes:
    """The message of the first frame; empty where it is not complete."""
    if arrived < LENGTH.size:
        return b""
    (length,) = LENGTH.unpack_from(view)
    end = LENGTH.size + length
    return bytes(view[LENGTH.size : end]) if end <= arrived else b""


def _taken(descriptor: int | None, nbytes: int) -> bytes:
    """The content of a segment that was passed on; the caller closes it.

    Raises:
        BadSegmentError: If it is none of that size.
    """
    if descriptor is None or not nbytes:
        return b""
    if nbytes > _MOST_BYTES:
        raise BadSegmentError(f"{nbytes} bytes of a connection")
    return bytes(map_segment(descriptor, nbytes))
