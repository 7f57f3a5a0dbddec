"""A buffer in this process's memory, where a message is written before it is sent."""

from __future__ import annotations

from rlmesh.codec.slab.protocols import Writable

_FIRST_BYTES = 1 << 16


class Scratch:
    """A buffer that grows with the messages; see `Outbox`.

    Attributes:
        view: The buffer that was reserved last.
    """

    def __init__(self) -> None:
        self.view: memoryview = memoryview(bytearray(_FIRST_BYTES))

    def reserve(self, nbytes: int, keep: int = 0) -> Writable:
        """A buffer of that many bytes or more; see `Outbox`."""
        if nbytes > len(self.view):
            larger = memoryview(bytearray(max(nbytes, 2 * len(self.view))))
            larger[:keep] = self.view[:keep]
            self.view = larger
        return self.view
