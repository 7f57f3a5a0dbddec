"""What a message is on the transports beside the stream, byte by byte: written, and read."""

from __future__ import annotations

import base64
import contextlib
import os
import socket
from typing import Any

from rlmesh.transports.shm.pipe import SegmentLayout, ShmPipe
from rlmesh.transports.shm.segment import create_segment, map_segment
from rlmesh.transports.tcp.pipe import TcpPipe
from support.pipes import message, tcp_pair

_PAGE = os.sysconf("SC_PAGESIZE")
_LINES = 128
_HEADER = 24
# Room for the first of the messages, and not for the second.
_PLAN = SegmentLayout(_PAGE, _PAGE)
MESSAGES = {"in its area": b"one message", "elsewhere": bytes(range(256)) * (_PAGE // 256)}


def text_of(data: bytes) -> str:
    """Bytes as they stand in a golden file."""
    return base64.b64encode(data).decode()


def bytes_of(text: str) -> bytes:
    """The bytes that stand in a golden file."""
    return base64.b64decode(text)


def frames_of(sent: bytes) -> dict[str, Any]:
    """What a client's first message leaves on either transport.

    `direct`: the bytes of the connection. `shm`: the control lines, what was written into the
    request area, and what stands in a segment of its own.
    """
    return {"message": text_of(sent), "direct": _direct(sent), "shm": _shm(sent)}


def _direct(sent: bytes) -> str:
    ours, theirs = tcp_pair()
    pipe = TcpPipe(ours)
    with theirs, contextlib.closing(theirs.makefile("rb")) as stream:
        pipe.send(sent)
        pipe.finish()
        pipe.release()
        return text_of(stream.read())


def _shm(sent: bytes) -> dict[str, str]:
    ours, theirs = socket.socketpair()
    descriptor = create_segment(_PLAN.size)
    segment = map_segment(descriptor, _PLAN.size)
    pipe = ShmPipe(ours, descriptor, _PLAN, client=True)
    with theirs:
        pipe.send(sent)
        found = {"lines": segment[:_LINES], "area": segment[_PAGE : _PAGE + _HEADER + len(sent)]}
        if size := int.from_bytes(found["area"][16:_HEADER], "little"):
            _, [elsewhere], _, _ = socket.recv_fds(theirs, 1, 1)
            found |= {"area": found["area"][:_HEADER], "elsewhere": map_segment(elsewhere, size)[:]}
            os.close(elsewhere)
        pipe.release()
    return {name: text_of(part) for name, part in found.items()}


def read_direct(frame: bytes) -> bytes:
    """The message that a server receives from these bytes."""
    ours, theirs = tcp_pair()
    pipe = TcpPipe(ours)
    with theirs:
        theirs.sendall(frame)
        received = message(pipe)
        pipe.release()
    return received


def read_shm(lines: bytes, area: bytes, elsewhere: bytes | None = None) -> bytes:
    """The message that a server receives from what a client has left in a segment."""
    ours, theirs = socket.socketpair()
    descriptor = create_segment(_PLAN.size)
    segment = map_segment(descriptor, _PLAN.size)
    pipe = ShmPipe(ours, descriptor, _PLAN, client=False)
    with theirs:
        segment[_PAGE : _PAGE + len(area)] = area
        if elsewhere is not None:
            another = create_segment(len(elsewhere))
            map_segment(another, len(elsewhere))[:] = elsewhere
            socket.send_fds(theirs, [b"\0"], [another])
            os.close(another)
        segment[: len(lines)] = lines
        received = message(pipe)
        pipe.release()
    return received
