"""Which compression a client asks for in an exchange: a given one, or the one that was fastest."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from statistics import median
from typing import Protocol

from rlmesh.transports.compression.algorithms import IDENTITY, NAMES
from rlmesh_api.v1 import session_pb2

_log = logging.getLogger("rlmesh.client")

# How many exchanges decide what a compression costs. The median of fewer follows chance.
_MEASURED = 5
# How many exchanges pass between two that try another compression: more each time that the same one
# is the fastest again.
_SHORTEST_PAUSE, _LONGEST_PAUSE = 32, 1024


class Choice(Protocol):
    """Chooses the compression of each exchange of a session. Only the thread that calls uses it."""

    def next(self, call: str) -> session_pb2.Compression.ValueType:
        """The compression of the next exchange.

        Args:
            call: The name of its call.
        """
        ...

    def took(self, call: str, seconds: float, nbytes: int) -> None:
        """Learns how long the exchange has taken that `next` chose for.

        Args:
            call: The name of its call.
            seconds: From the request to the answer.
            nbytes: How many bytes both have uncompressed.
        """
        ...


class GivenChoice:
    """The same compression for each exchange; see `Choice`.

    Args:
        compression: The compression.
    """

    def __init__(self, compression: session_pb2.Compression.ValueType) -> None:
        self._compression = compression

    def next(self, call: str) -> session_pb2.Compression.ValueType:
        """That compression."""
        return self._compression

    def took(self, call: str, seconds: float, nbytes: int) -> None:
        """Learns nothing."""


class FastestChoice:
    """The compression whose exchanges have been the fastest, for each kind of call; see `Choice`.

    What an exchange costs is measured and not computed: it depends on the line, on the frames, on
    both processors, and on whether other clients use the same line.

    Args:
        compressions: The compressions that both sides know.
        address: The endpoint's address, for the log.
        least_bytes: The bytes from which on an exchange is worth to be measured.
    """

    def __init__(
        self,
        compressions: Sequence[session_pb2.Compression.ValueType],
        address: str,
        least_bytes: int,
    ) -> None:
        self._compressions = (IDENTITY, *compressions)
        self._address = address
        self._least_bytes = least_bytes
        self._calls: dict[str, _Measured] = {}

    def next(self, call: str) -> session_pb2.Compression.ValueType:
        """The compression of the next exchange; see `Choice`."""
        measured = self._calls.get(call)
        return IDENTITY if measured is None else measured.next()

    def took(self, call: str, seconds: float, nbytes: int) -> None:
        """Learns how long an exchange has taken; see `Choice`."""
        measured = self._calls.get(call)
        if nbytes < self._least_bytes:
            # As far as is known the next one is as small.
            if measured is not None:
                del self._calls[call]
            return
        if measured is None:
            # This one was not compressed.
            measured = self._calls[call] = _Measured(self._compressions)
        if measured.took(seconds):
            _log.info(
                "%s of %d bytes, with %s: the fastest compression is %s now (%s)",
                call,
                nbytes,
                self._address,
                NAMES[measured.fastest],
                measured.describe(),
            )


class _Measured:
    """What the exchanges of one kind of call have cost.

    Args:
        compressions: What is chosen from.

    Attributes:
        fastest: The compression that was the fastest.
    """

    def __init__(self, compressions: Sequence[session_pb2.Compression.ValueType]) -> None:
        self.fastest: session_pb2.Compression.ValueType = IDENTITY
        self._seconds: dict[session_pb2.Compression.ValueType, deque[float]] = {
            compression: deque(maxlen=_MEASURED) for compression in compressions
        }
        # What is tried before the fastest is chosen again, the last first.
        self._trials = [compression for compression in compressions for _ in range(_MEASURED)]
        self._pause = self._left = _SHORTEST_PAUSE
        self._chosen: session_pb2.Compression.ValueType = IDENTITY

    def next(self) -> session_pb2.Compression.ValueType:
        if self._trials:
            self._chosen = self._trials.pop()
            return self._chosen
        self._left -= 1
        if self._left <= 0:
            self._left = self._pause
            self._trials = [other for other in self._seconds if other != self.fastest]
        self._chosen = self.fastest
        return self._chosen

    def took(self, seconds: float) -> bool:
        """Learns how long the last one has taken; returns whether another is the fastest now."""
        self._seconds[self._chosen].append(seconds)
        if self._trials:
            return False
        fastest = min(self._seconds, key=self._cost)
        if fastest == self.fastest:
            if self._chosen != fastest:
                self._pause = min(2 * self._pause, _LONGEST_PAUSE)
            return False
        self.fastest, self._pause = fastest, _SHORTEST_PAUSE
        self._left = self._pause
        return True

    def describe(self) -> str:
        """How many milliseconds an exchange takes with each."""
        return ", ".join(
            f"{NAMES[compression]} {self._cost(compression) * 1000:.3g} ms"
            for compression in self._seconds
        )

    def _cost(self, compression: session_pb2.Compression.ValueType) -> float:
        seconds = self._seconds[compression]
        return median(seconds) if seconds else float("inf")
