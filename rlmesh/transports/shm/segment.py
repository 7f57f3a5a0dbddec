"""Shared memory between two processes: anonymous, so that nothing is left when they die."""

from __future__ import annotations

import fcntl
import mmap
import os

from rlmesh.codec.slab.protocols import Readable
from rlmesh.errors import EndpointError

# Neither side may cut the memory off under the other: reading past its end would kill a process.
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


class BadSegmentError(Exception):
    """A descriptor that is no sealed segment of the expected size."""


class SegmentRefusedError(EndpointError):
    """The system does not give as much shared memory as a message or a session needs."""


def create_segment(size: int) -> int:
    """Makes a sealed segment of that many bytes; the descriptor is the caller's to close.

    Pages take memory when they are first written, so a generous size costs nothing.

    Raises:
        SegmentRefusedError: If the system does not give that much shared memory.
    """
    try:
        descriptor = os.memfd_create("rlmesh", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(descriptor, size)
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
        except BaseException:
            os.close(descriptor)
            raise
    except OSError as error:
        raise SegmentRefusedError(
            f"the system refuses {size} bytes of shared memory: {error}. Allow memfd_create, raise "
            f"the limits of descriptors (ulimit -n) and of file sizes (ulimit -f), or use the "
            f"transport grpc"
        ) from error
    return descriptor


def copy_to_segment(*parts: Readable) -> int:
    """Makes a segment of these parts; the descriptor is the caller's to close.

    It takes one descriptor, for a process that may open no more.

    Raises:
        SegmentRefusedError: If the system does not give that much shared memory.
    """
    descriptor = create_segment(sum(map(len, parts)))
    try:
        place = 0
        for part in parts:
            with memoryview(part) as rest:
                end = place + len(rest)
                while place < end:
                    place += os.pwrite(descriptor, rest[len(rest) - (end - place) :], place)
    except OSError as error:
        os.close(descriptor)
        raise SegmentRefusedError(f"the system refuses shared memory: {error}") from error
    return descriptor


def map_segment(descriptor: int, size: int, offset: int = 0) -> mmap.mmap:
    """Maps a segment that came from the other side, or `size` bytes of it from `offset` on.

    Raises:
        BadSegmentError: If it is not sealed, or smaller.
    """
    try:
        seals = fcntl.fcntl(descriptor, fcntl.F_GET_SEALS)
        actual = os.fstat(descriptor).st_size
        if seals & fcntl.F_SEAL_SHRINK and size > 0 and actual >= offset + size:
            return mmap.mmap(descriptor, size, offset=offset)
    except (OSError, ValueError) as error:
        raise BadSegmentError(str(error)) from error
    raise BadSegmentError(
        f"expected a sealed segment of {offset + size} bytes, got {actual}, seals {seals}"
    )
