"""One side of a segment: what it does at every message, without the waiting."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable

from rlmesh.compiled import step as compiled
from rlmesh.compiled.interface import SegmentEnd
from rlmesh.transports.pipe import RESERVED

# Where the message begins and ends, and the size of its own segment; 0 where it is in the area.
HEADER = struct.Struct("<QQQ")
"""What stands before a message."""
ASLEEP = 1
"""Where the flag of a sleeper stands in a side's line, behind its count."""

# One look takes some 30 ns here, and 10 in C. So many are made before the spin policy is asked.
_LOOKS, _LOOKS_IN_C = 1000, 3000
_pack_header, _unpack_header = HEADER.pack_into, HEADER.unpack_from


class PythonSegmentEnd:
    """One side of a segment, in Python; see `SegmentEnd`.

    Args:
        lines: The control lines of both sides.
        out: The area that this side writes.
        incoming: The area that the other side writes.
        mine: Where this side's line begins.
        theirs: Where the other side's does.
    """

    def __init__(
        self, lines: mmap.mmap, out: mmap.mmap, incoming: mmap.mmap, mine: int, theirs: int, /
    ) -> None:
        self._lines, self._out, self._in = lines, out, incoming
        self._mine, self._theirs = mine, theirs

    def send(self, message: bytes, /) -> bool:
        """Writes a message that fits, and posts it; returns whether the other side sleeps."""
        out, end = self._out, RESERVED + len(message)
        out[RESERVED:end] = message
        _pack_header(out, 0, RESERVED, end, 0)
        # The code of `announce` stands here and in `post` again, to save a frame.
        lines, mine = self._lines, self._mine
        lines[mine] = (lines[mine] + 1) & 0xFF
        return lines[self._theirs + ASLEEP] != 0

    def post(self, start: int, end: int, /) -> bool:
        """Posts what stands between two offsets; returns whether the other side sleeps."""
        _pack_header(self._out, 0, start, end, 0)
        lines, mine = self._lines, self._mine
        lines[mine] = (lines[mine] + 1) & 0xFF
        return lines[self._theirs + ASLEEP] != 0

    def announce(self) -> bool:
        """Posts a message whose header stands there; returns whether the other side sleeps."""
        lines, mine = self._lines, self._mine
        # The byte itself is the count: Ctrl-C may come just before this, or just after.
        lines[mine] = (lines[mine] + 1) & 0xFF
        return lines[self._theirs + ASLEEP] != 0

    def look(self, count: int, looks: int, /) -> bool:
        """Looks for the other side's message number `count`, so many times at most."""
        lines, place = self._lines, self._theirs
        for _ in range(looks):  # noqa: SIM110 - `any` would add a generator
            if lines[place] == count:
                return True
        return False

    def receive(self, count: int, looks: int, /) -> tuple[mmap.mmap, int, int] | None:
        """Looks for a message, and returns it.

        Returns:
            The area, and where the message begins and ends there. None if it has not come, has a
            segment for itself, or no correct peer sends it.
        """
        lines, place = self._lines, self._theirs
        for _ in range(looks):
            if lines[place] == count:
                start, end, elsewhere = _unpack_header(self._in)
                if elsewhere or not RESERVED <= start <= end <= len(self._in):
                    return None
                return self._in, start, end
        return None

    def sleeps(self, sleeps: bool, /) -> None:
        """Notes for the other side whether this one sleeps."""
        self._lines[self._mine + ASLEEP] = sleeps


make_segment_end: Callable[..., SegmentEnd] = compiled.SegmentEnd if compiled else PythonSegmentEnd
"""The one that runs here: in C, where that is built."""

LOOKS: int = _LOOKS_IN_C if compiled else _LOOKS
"""How many times a side looks before it asks the spin policy: for some 30 microseconds."""
