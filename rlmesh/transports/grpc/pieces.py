"""Requests of a session that are larger than what a server receives in one message.

A server of gRPC has one limit for the messages of all methods, and reads a message before it knows
a caller. So that limit is small, and a client sends a large request in pieces. A piece of exactly
`PIECE_BYTES` is followed by another one; a shorter piece, which may be empty, is the last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rlmesh.limits import MAX_MESSAGE_BYTES

PIECE_BYTES = 1 << 20
"""The longest message that a server receives over gRPC."""

_PROBED_BYTES = 16 * PIECE_BYTES


def pieces(message: bytes) -> Iterator[bytes]:
    """The pieces in which a request crosses."""
    for start in range(0, len(message) + 1, PIECE_BYTES):
        yield message[start : start + PIECE_BYTES]


def whole_messages(received: Iterator[bytes], refuse: Callable[[str], None]) -> Iterator[bytes]:
    """The requests that arrive in pieces.

    Args:
        received: The pieces.
        refuse: Called with the reason for a request beyond `MAX_MESSAGE_BYTES` or beyond the
            process's memory, after which nothing more comes.
    """
    for piece in received:
        if len(piece) < PIECE_BYTES:
            yield piece
            continue
        parts, size = [piece], PIECE_BYTES
        for further in received:
            parts.append(further)
            size += len(further)
            if size > MAX_MESSAGE_BYTES:
                refuse(f"a request has more than {MAX_MESSAGE_BYTES} bytes")
                return
            last, whole = len(further) < PIECE_BYTES, b""
            try:
                if last:
                    whole = b"".join(parts)
                elif size % _PROBED_BYTES == 0:
                    # The join at the end needs as much again. What cannot be had is refused while
                    # memory is left: gRPC's core ends the process where an allocation fails.
                    bytearray(size)
            except MemoryError:
                refuse(f"there is no memory for a request of more than {size} bytes")
                return
            if last:
                yield whole
                break
