"""A transport: how a request and its answer cross, as a client sees it. One exchange at a time."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from rlmesh.codec.slab.protocols import Writable
from rlmesh.errors import CallTimeoutError, StateError
from rlmesh.transports.pipe import Received

TRANSPORTS = ("shm", "direct", "grpc")
"""The names of the transports, the fastest first."""


class Wait(NamedTuple):
    """Which call waits for its answer, and until when.

    Attributes:
        call: The call's name, for messages.
        deadline: On the monotonic clock, in seconds; None: no limit.
        timeout: How many seconds the call had in all, for messages.
    """

    call: str
    deadline: float | None = None
    timeout: float | None = None


class Transport(Protocol):
    """How a request and its answer cross.

    Attributes:
        name: The transport's name.
    """

    name: str

    def post(self, message: bytes, wait: Wait) -> None:
        """Sends a request. Raises what `take` raises, where an earlier answer is still awaited."""
        ...

    def reserve(self, nbytes: int, wait: Wait) -> Writable | None:
        """A buffer in which a request may be written, behind the bytes that a pipe reserves.

        Args:
            nbytes: How many bytes, with those that are reserved.
            wait: For how long an earlier answer may be awaited.

        Returns:
            The buffer, valid until the next exchange; None where requests are sent as bytes. Raises
            what `take` raises, where an earlier answer is still awaited.
        """
        ...

    def post_written(self, start: int, end: int) -> None:
        """Sends the request between two offsets of the buffer that was reserved last."""
        ...

    def posted(self) -> bytes:
        """The request that was written in place and sent last, also after the transport's end."""
        ...

    def take(self, sequence: int, wait: Wait) -> Received:
        """Waits for the answer to the request that was posted last.

        Args:
            sequence: The request's sequence, larger than every one before.
            wait: For how long.

        Returns:
            The answer; its buffer is valid until the next exchange.

        Raises:
            CallTimeoutError: If the answer did not come in time. It is dropped when it comes.
            EndpointDrainingError: If the server ended the session.
            ConnectionLostError: If the connection broke. Either way every later exchange raises
                too.
            ProtocolError: If no correct server sends such an answer.
            StateError: If another thread closed the transport meanwhile.
        """
        ...

    def close(self) -> None:
        """Ends the transport; the server notices at once. May be called repeatedly."""
        ...

    def leave_to_parent(self) -> None:
        """Closes what a forked process has inherited of the transport; the parent's goes on."""
        ...


def exchange(transport: Transport, message: bytes, sequence: int, wait: Wait) -> Received:
    """Sends a request and waits for its answer; as `Transport.post` and `Transport.take`."""
    transport.post(message, wait)
    return transport.take(sequence, wait)


def late(wait: Wait, address: str) -> CallTimeoutError:
    """The error for an answer that did not come in time."""
    which = "next call of a model that keeps state" if wait.call == "predict" else "next call"
    return CallTimeoutError(
        f"{wait.call}: no answer from {address} within {wait.timeout} s; the server may still be "
        f"in that call. The {which} must be a reset"
    )


def closed_meanwhile(wait: Wait, address: str) -> StateError:
    """The error for a call whose client was closed."""
    return StateError(
        f"{wait.call}: another thread closed the connection to {address} during the call; make a "
        f"new client"
    )
