"""A pipe: one side's end of a transport other than gRPC. One message at a time."""

from __future__ import annotations

import enum
from typing import Protocol, TypeAlias

from rlmesh.codec.slab.protocols import Readable, Writable

RESERVED = 24
"""The bytes at the beginning of a buffer that belong to the pipe, not to the message."""

Received: TypeAlias = tuple[Readable, int, int]
"""A message: its buffer, and where the message begins and ends in it. The buffer is valid until the
pipe is used again; where it is a memoryview, the receiver may keep the NumPy array behind it."""


class BadFrameError(Exception):
    """A frame that no correct peer sends: the other side is damaged or hostile."""


class WakeReason(enum.Enum):
    """Why a wait ended."""

    POSTED = "the other side has posted"
    GONE = "the other side has gone"
    LATE = "the deadline has passed"
    CALLED = "the descriptor that the pipe watches is readable"


# Looking up a member of an enum is slow, and every message needs this one.
POSTED = WakeReason.POSTED
"""The same as `WakeReason.POSTED`, for the path of every step."""


class Outbox(Protocol):
    """Where a message is written before it is sent."""

    @property
    def reserved(self) -> int:
        """How many bytes at the beginning of a buffer do not belong to the message."""
        ...

    def reserve(self, nbytes: int, keep: int = 0) -> Writable:
        """A buffer of that many bytes or more.

        Args:
            nbytes: How many bytes.
            keep: How many bytes at the beginning of the last buffer are copied into it.
        """
        ...


class Pipe(Outbox, Protocol):
    """One side's end of a transport.

    One thread at a time uses it; `close` and `send_out_of_band` are for other threads too. Ctrl-C
    may interrupt a method anywhere, and the pipe still works afterwards.
    """

    @property
    def answer_pending(self) -> bool:
        """Whether a message was sent whose answer was not received."""
        ...

    def watch(self, wake_fd: int) -> None:
        """Has every later `receive` end also when a descriptor becomes readable.

        Called once, before the first `receive`. The pipe does not read the descriptor, nor close
        it.
        """
        ...

    def send(self, message: bytes) -> None:
        """Sends a message. If the other side has gone, the next `receive` says so."""
        ...

    def post(self, start: int, end: int) -> None:
        """Sends the message between two offsets of the last reserved buffer, as `send` does."""
        ...

    def last(self) -> bytes:
        """The message that was sent last, whether or not it has left; empty if there was none.

        It is available until the next `reserve`, also when the transport has ended, before and
        after `release`.
        """
        ...

    def receive(self, deadline: float | None = None) -> Received | WakeReason:
        """Waits for the next message.

        Args:
            deadline: On the monotonic clock, in seconds; None: no limit.

        Returns:
            The message, or why there is none.

        Raises:
            BadFrameError: If no correct peer sends such a frame.
        """
        ...

    def send_out_of_band(self, message: bytes) -> None:
        """Sends a message, while another thread may be writing into the last reserved buffer."""
        ...

    def finish(self) -> None:
        """Ends the transport once the last message has left, or after a second."""
        ...

    def close(self) -> None:
        """Ends the transport; the other side notices at once. For any thread, repeatedly."""
        ...

    def leave_to_parent(self) -> None:
        """Closes what a forked process has inherited of the transport; the parent's goes on."""
        ...

    def release(self) -> None:
        """Ends the transport and frees what it holds; only for the thread that receives."""
        ...
