"""A pipe: one side's end of a transport other than gRPC. One message at a time."""

from __future__ import annotations

import enum
from typing import Protocol, TypeAlias

from rlmesh.codec.slab.protocols import Readable, Writable

RESERVED = 24
"""The bytes at the beginning of a pipe's rooms that are its own."""

Received: TypeAlias = tuple[Readable, int, int]
"""A message: where it stands, where it begins there and ends. It stands there until the pipe is
used again; the array of NumPy behind a memoryview is the receiver's to keep."""


class BadFrameError(Exception):
    """A frame that cannot be: the other side is damaged or hostile."""


class WakeReason(enum.Enum):
    """Why a wait ended."""

    POSTED = "the other side has posted"
    GONE = "the other side has gone"
    LATE = "the deadline has passed"
    CALLED = "the descriptor that the pipe watches is readable"


# An enum gives its members slowly, and every message is one of these.
POSTED = WakeReason.POSTED
"""The same as `WakeReason.POSTED`, at hand for the path of every step."""


class Outbox(Protocol):
    """Where a message is written that is about to be sent."""

    @property
    def reserved(self) -> int:
        """How many bytes at the beginning of a room are not the message's."""
        ...

    def reserve(self, nbytes: int, keep: int = 0) -> Writable:
        """A buffer of that many bytes or more.

        Args:
            nbytes: How many bytes.
            keep: How many of the bytes at the beginning of the room before shall be there.
        """
        ...


class Pipe(Outbox, Protocol):
    """One side's end of a transport.

    Ctrl-C may come between any two steps of what a pipe does, and leaves it able to go on.
    """

    @property
    def answer_pending(self) -> bool:
        """Whether a message was sent that none was received for."""
        ...

    def watch(self, wake_fd: int) -> None:
        """Has every later `receive` end also when a descriptor becomes readable.

        Called once, before the first `receive`. The pipe does not read the descriptor, nor close
        it.
        """
        ...

    def send(self, message: bytes) -> None:
        """Sends a message. That the other side has gone, the next `receive` tells."""
        ...

    def post(self, start: int, end: int) -> None:
        """Sends the message that stands between these places in the last `room`, as `send` does."""
        ...

    def last(self) -> bytes:
        """The message that was sent last, whether or not it has left; empty if none was.

        Until the next `room`, and also when the transport has ended, before and after `release`.
        """
        ...

    def receive(self, deadline: float | None = None) -> Received | WakeReason:
        """Waits for the next message.

        Args:
            deadline: On the monotonic clock, in seconds; None: for ever.

        Returns:
            The message, or why there is none.

        Raises:
            BadFrameError: If the frame cannot be.
        """
        ...

    def send_out_of_band(self, message: bytes) -> None:
        """Sends a message, while another thread may be writing into the last `room`."""
        ...

    def finish(self) -> None:
        """Ends the transport once the last message has left, if that is possible in a moment."""
        ...

    def close(self) -> None:
        """Ends the transport; the other side notices at once. Any thread may, repeatedly."""
        ...

    def leave_to_parent(self) -> None:
        """Gives back what a forked process holds of its parent's transport, which goes on."""
        ...

    def release(self) -> None:
        """Ends the transport and gives back what it holds; only the thread that receives may."""
        ...
