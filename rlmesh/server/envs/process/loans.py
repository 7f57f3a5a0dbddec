"""What crosses between a server and its worker to lend a client's pipe: fixed-size messages.

The server keeps its own descriptors of the pipe, so the client's connection outlives the worker.
Each loan has a number: a message about another loan than the present one is ignored.
"""

from __future__ import annotations

import array
import contextlib
import os
import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

from rlmesh.transports.lending import Remains

_LEND, _RECALL = b"l", b"r"
_TO_WORKER = struct.Struct("<cQQQQ")
_TO_SERVER = struct.Struct("<BQQQQQQ")
_REQUEST, _ANSWER = 1, 2
_MOST_DESCRIPTORS = 4
_ANCILLARY_BYTES = socket.CMSG_SPACE(_MOST_DESCRIPTORS * array.array("i").itemsize)
_AT_ONCE = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL


class BadLoanError(Exception):
    """A message that no correct worker sends."""


class Lent(NamedTuple):
    """To the worker: a pipe to use.

    Attributes:
        loan: The loan's number.
        sequence: The number of the session's last call.
        areas: The bytes of the segment's two areas; 0 where there is no segment.
        descriptors: The socket and the segment; the receiver owns them. Fewer where the worker may
            open no more.
    """

    loan: int
    sequence: int
    areas: tuple[int, int]
    descriptors: list[int]


class Recalled(NamedTuple):
    """To the worker: the server wants a pipe back.

    Attributes:
        loan: The loan's number.
    """

    loan: int


class Returned(NamedTuple):
    """From the worker: it does not use the pipe any more.

    Attributes:
        loan: The loan's number.
        sequence: The number of the last call that it answered, or of the session's last before it.
        remains: What the worker leaves of the pipe; the receiver closes its descriptors.
    """

    loan: int
    sequence: int
    remains: Remains = Remains()


def lend(channel: socket.socket, loan: Lent) -> None:
    """Offers a pipe to the worker.

    Raises:
        OSError: If the worker has gone, or the system passes no descriptors on.
    """
    words = _TO_WORKER.pack(_LEND, loan.loan, loan.sequence, *loan.areas)
    _send(channel, words, loan.descriptors)


def recall(channel: socket.socket, loan: int) -> None:
    """Asks for a pipe back. A worker that has gone is noticed by other means."""
    with contextlib.suppress(OSError):
        _send(channel, _TO_WORKER.pack(_RECALL, loan, 0, 0, 0), [])


def give_back(channel: socket.socket, returned: Returned) -> None:
    """Gives a pipe back to the server.

    Raises:
        OSError: If the server has gone.
    """
    flags, descriptors, remains = 0, list[int](), returned.remains
    for flag, descriptor in ((_REQUEST, remains.request), (_ANSWER, remains.answer)):
        if descriptor is not None:
            flags |= flag
            descriptors.append(descriptor)
    words = _TO_SERVER.pack(
        flags,
        returned.loan,
        returned.sequence,
        remains.request_bytes,
        remains.request_end,
        remains.answer_bytes,
        remains.answer_left,
    )
    _send(channel, words, descriptors)


def receive_in_worker(channel: socket.socket) -> Lent | Recalled | None:
    """The server's next message, which has come already; None if the server has gone."""
    words, descriptors = _receive(channel, _TO_WORKER.size)
    if not words:
        return None
    kind, loan, sequence, request, answer = _TO_WORKER.unpack(words)
    if kind == _RECALL:
        return Recalled(loan)
    return Lent(loan, sequence, (request, answer), descriptors)


def receive_in_server(channel: socket.socket) -> Returned | None:
    """The worker's next message; None if none has come, or the worker has gone.

    Raises:
        BadLoanError: If no correct worker sends such a message.
    """
    words, descriptors = _receive(channel, _TO_SERVER.size)
    if not words:
        return None
    with contextlib.ExitStack() as undo:
        for descriptor in descriptors:
            undo.callback(os.close, descriptor)
        if len(words) != _TO_SERVER.size:
            raise BadLoanError(f"a message of {len(words)} bytes instead of {_TO_SERVER.size}")
        flags, loan, sequence, *numbers = _TO_SERVER.unpack(words)
        if flags not in range(4) or flags.bit_count() != len(descriptors):
            raise BadLoanError(f"{len(descriptors)} descriptors with the flags {flags}")
        undo.pop_all()
    given = iter(descriptors)
    request, answer = _next(given, flags & _REQUEST), _next(given, flags & _ANSWER)
    request_bytes, request_end, answer_bytes, answer_left = numbers
    return Returned(
        loan,
        sequence,
        Remains(request, request_bytes, request_end, answer, answer_bytes, answer_left),
    )


def _next(descriptors: Iterator[int], wanted: int) -> int | None:
    return next(descriptors) if wanted else None


def _send(channel: socket.socket, words: bytes, descriptors: list[int]) -> None:
    # Not by `socket.send_fds`, which drops its flags in Python 3.11.
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))
    channel.sendmsg([words], [rights] if descriptors else [], _AT_ONCE)


def _receive(channel: socket.socket, nbytes: int) -> tuple[bytes, list[int]]:
    """A message and its descriptors; empty if none has come, or the other side has gone."""
    # One byte more, so that a message that is too long does not look right.
    try:
        words, ancillary, _, _ = channel.recvmsg(
            nbytes + 1, _ANCILLARY_BYTES, socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
        )
    except OSError:
        return b"", []
    descriptors = array.array("i")
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            # The system cuts it off anywhere where this process may open no more.
            whole = len(content) - len(content) % descriptors.itemsize
            descriptors.frombytes(content[:whole])
    return words, list(descriptors)
