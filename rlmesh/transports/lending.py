"""Lending a pipe: another process answers a client for a while, through the client's own pipe.

The lender keeps its own descriptors, so the connection outlives the other process. Only one of the
two uses the pipe at a time.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from rlmesh.transports.pipe import Pipe


class Remains(NamedTuple):
    """What the other process leaves in its own memory when it gives a pipe back.

    The descriptors are sealed segments; who has a `Remains` closes them.

    Attributes:
        request: What it has received and the lender has not: of shared memory the last request's
            own segment, of a socket the bytes of the last request, of what came after it, and of
            the last answer.
        request_bytes: How many bytes of a socket, without the answer.
        request_end: Where the last request ends in them, if it was answered; else 0.
        answer: Of shared memory, the last answer's own segment.
        answer_bytes: How many bytes the answer is.
        answer_left: How many of them have left, of a socket.
    """

    request: int | None = None
    request_bytes: int = 0
    request_end: int = 0
    answer: int | None = None
    answer_bytes: int = 0
    answer_left: int = 0


class LendablePipe(Pipe, Protocol):
    """A pipe that can be lent. One thread uses it, except where noted."""

    def lend(self) -> tuple[tuple[int, int], list[int]] | None:
        """What another process needs to use the pipe.

        Until `take_back` or `take_over` this process only looks at `unanswered`.

        Returns:
            The bytes of the segment's two areas, 0 where there is none, and the descriptors, which
            stay the pipe's; None if it cannot be lent at this moment.
        """
        ...

    def take_back(self, remains: Remains) -> None:
        """Goes on where the other process has stopped.

        Raises:
            BadSegmentError: If it has left what no correct process leaves.
        """
        ...

    def take_over(self, call: bytes | None, *, answered: bool) -> None:
        """Goes on where the other process has died.

        Args:
            call: What stands for the request that it was executing, where the pipe does not hold
                that; None: it was executing none.
            answered: Whether it has answered any request.
        """
        ...

    def unanswered(self) -> bytes | None:
        """The client's last message, if it was not answered; empty if it cannot be read yet.

        Any thread may ask, whichever process uses the pipe.
        """
        ...

    def last_request(self) -> bytes:
        """The client's last message; empty where the pipe does not hold it."""
        ...
