"""Where the answers of a session stream are written, which leave it as bytes."""

from __future__ import annotations

import io

from rlmesh.lanes.port import Room
from rlmesh.lanes.scratch import Scratch

# From here on a buffer that becomes the message saves more than it costs to make.
_LARGE = 1 << 15


class StreamOutbox:
    """A room whose message is bytes in the end; see `Outbox`.

    grpc takes bytes, which nobody can write into. A large message is written into the buffer of a
    BytesIO, which gives it away as bytes without a copy.
    """

    reserved = 0

    def __init__(self) -> None:
        self._scratch = Scratch()
        self._large: io.BytesIO | None = None
        self._view: memoryview | None = None

    def room(self, nbytes: int, keep: int = 0) -> Room:
        """A buffer of that many bytes or more; see `Outbox`."""
        if not keep:
            self._large = self._view = None
        if self._view is not None and nbytes <= len(self._view):
            return self._view
        last: Room = self._scratch.view if self._view is None else self._view
        if nbytes < _LARGE:
            return self._scratch.room(nbytes, keep)
        large = io.BytesIO()
        large.seek(max(nbytes, 2 * len(last) if keep > _LARGE else 0) - 1)
        large.write(b"\0")
        view = large.getbuffer()
        view[:keep] = last[:keep]
        self._large, self._view = large, view
        return view

    def message(self, start: int, end: int) -> bytes:
        """What was written between these places of the last room; once."""
        large, view = self._large, self._view
        if large is None or view is None:
            return bytes(self._scratch.view[start:end])
        self._large = self._view = None
        view.release()
        large.truncate(end)
        return large.getvalue()[start:]
