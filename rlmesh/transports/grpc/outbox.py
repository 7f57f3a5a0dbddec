"""Where the answers of a session stream are written; they leave as bytes."""

from __future__ import annotations

import io
from collections import deque

from rlmesh.codec.slab.protocols import Writable
from rlmesh.transports.scratch import Scratch

# From here on a buffer that becomes the message saves more than it costs to handle.
_LARGE = 1 << 15
# Buffers that take turns: when the first is needed again, grpc has let go of its message.
_SPARE = 2


class StreamOutbox:
    """A buffer whose message becomes bytes; see `Outbox`.

    grpc takes bytes, which cannot be written into. A large message is written into the buffer of a
    BytesIO, which hands it out as bytes without a copy. BytesIO takes another buffer where those
    bytes are still in use at the next write.
    """

    reserved = 0

    def __init__(self) -> None:
        self._scratch = Scratch()
        self._spare: deque[io.BytesIO] = deque()
        self._large: io.BytesIO | None = None
        self._view: memoryview | None = None

    def reserve(self, nbytes: int, keep: int = 0) -> Writable:
        """A buffer of that many bytes or more; see `Outbox`."""
        if not keep:
            self._give_back()
        last: Writable = self._scratch.view if self._view is None else self._view
        if self._view is not None and nbytes <= len(self._view):
            return self._view
        if nbytes < _LARGE:
            return self._scratch.reserve(nbytes, keep)
        kept = bytes(last[:keep])
        # Just as large, so that nothing has to be cut off: twice as much where it grows again.
        size = nbytes if self._view is None else max(nbytes, 2 * len(last))
        self._give_back()
        large = self._spare.popleft() if len(self._spare) >= _SPARE else io.BytesIO()
        if large.seek(0, io.SEEK_END) < size:
            large.seek(size - 1)
            large.write(b"\0")
        view = large.getbuffer()
        view[:keep] = kept
        self._large, self._view = large, view
        return view

    def message(self, start: int, end: int) -> bytes:
        """The message between two offsets of the last reserved buffer; once."""
        large = self._large
        if large is None:
            return bytes(self._scratch.view[start:end])
        self._give_back()
        large.truncate(end)
        message = large.getvalue()
        return message[start:] if start else message

    def _give_back(self) -> None:
        if self._large is not None and self._view is not None:
            self._view.release()
            self._spare.append(self._large)
            self._large = self._view = None
