"""The call page: shared memory in which a worker notes which call it is in.

While a worker answers a client by itself, the server reads here what it would otherwise know from
its own calls: for its status, its watchdog and its idle times. A worker writes the begin and the
end of each call, which costs no system call. The server believes nothing here without a check.
"""

from __future__ import annotations

import math
import mmap
import struct
import time
from typing import NamedTuple

from rlmesh_api.v1 import session_pb2

KINDS = ("step", "reset", "step_many", "render", "attribute")
"""The kinds of calls that a worker answers by itself."""
CALL_NUMBERS = {kind: number for number, kind in enumerate(KINDS, start=1)}
"""What the byte at `AT_KIND` says during a call of a kind; 0 between calls."""

PAGE_BYTES = mmap.ALLOCATIONGRANULARITY
"""The bytes of a page."""

BEGIN = struct.Struct("<dQB")
"""When the call began, on the monotonic clock, in seconds; its number; its kind. At the offset 0.
The kind is written last, and read first."""
AT_KIND = BEGIN.size - 1
"""Where the kind stands."""
TOTAL = struct.Struct("<dQd")
"""Of one kind of call: when the last one ended, how many there were, how many seconds they took."""

_AT_NAME, _NAME_BYTES = 64, 128
_AT_TOTALS, _TOTAL_BYTES = 256, 64
_EPISODES = struct.Struct("<QdQ")
# Behind what a new loan clears: episodes are those of the session.
_AT_EPISODES = 1024
# No real count or number of seconds is larger; a sum of them still fits into a message.
_LARGEST = 2**53
_TRIES = 4


class NotedCall(NamedTuple):
    """The call that a worker is in, as it says.

    Attributes:
        name: Its kind, or the attribute's name.
        sequence: Its number in the session, from 1 on.
        since: When it began, on the monotonic clock, in seconds.
    """

    name: str
    sequence: int
    since: float

    def give_up(self, failure: session_pb2.Failure) -> bool:
        """Returns False: only the end of its worker ends the call; see `RunningCall`."""
        return False


def place_of(kind: str) -> int:
    """Where the total of a kind stands."""
    return _AT_TOTALS + _TOTAL_BYTES * (CALL_NUMBERS[kind] - 1)


def write_name(page: mmap.mmap, name: str) -> None:
    """Notes the name of the attribute that the next call is about."""
    encoded = name.encode(errors="replace")[: _NAME_BYTES - 1]
    page[_AT_NAME : _AT_NAME + _NAME_BYTES] = encoded.ljust(_NAME_BYTES, b"\0")


def write_episodes(page: mmap.mmap, ended: tuple[int, float, int]) -> None:
    """Notes how many episodes have ended in the session, and their returns and lengths."""
    _EPISODES.pack_into(page, _AT_EPISODES, *ended)


class CallPage:
    """A worker's page, as the server reads it.

    Args:
        page: The page.
    """

    def __init__(self, page: mmap.mmap) -> None:
        self._page = page

    def clear(self) -> None:
        """Begins a new loan: no call is in progress, and none was made."""
        self._page[:_AT_EPISODES] = bytes(_AT_EPISODES)

    @property
    def sequence(self) -> int:
        """The number of the call in progress, else of the last one; 0 if there was none."""
        sequence: int = BEGIN.unpack_from(self._page)[1]
        return sequence

    def call(self) -> NotedCall | None:
        """The call that the worker is in."""
        for _ in range(_TRIES):
            kind = self._page[AT_KIND]
            if not 1 <= kind <= len(KINDS):
                return None
            since, sequence, _ = BEGIN.unpack_from(self._page)
            name = KINDS[kind - 1]
            if name == "attribute":
                text = self._page[_AT_NAME : _AT_NAME + _NAME_BYTES].split(b"\0")[0]
                name = text.decode(errors="replace") or name
            # Another call may have begun meanwhile.
            if (since, sequence, kind) == BEGIN.unpack_from(self._page):
                now = time.monotonic()
                return NotedCall(name, max(1, sequence), since if 0 <= since <= now else now)
        return None

    def totals(self) -> dict[str, tuple[int, float]]:
        """How many calls of each kind were made, and how many seconds they took."""
        found: dict[str, tuple[int, float]] = {}
        for kind in KINDS:
            _, count, seconds = TOTAL.unpack_from(self._page, place_of(kind))
            if count or seconds:
                found[kind] = min(count, _LARGEST), _checked(seconds)
        return found

    def episodes(self) -> tuple[int, float, int]:
        """How many episodes the worker has seen end in the session, their returns and lengths."""
        found = _EPISODES.unpack_from(self._page, _AT_EPISODES)
        for _ in range(_TRIES):
            # Another one may end meanwhile.
            before, found = found, _EPISODES.unpack_from(self._page, _AT_EPISODES)
            if found == before:
                break
        count, returns, lengths = found
        return min(count, _LARGEST), returns, min(lengths, _LARGEST)

    def last_used(self) -> float:
        """When the last call ended, on the monotonic clock, in seconds; 0 if there was none."""
        ends = [TOTAL.unpack_from(self._page, place_of(kind))[0] for kind in KINDS]
        return min(max(map(_checked, ends)), time.monotonic())


def _checked(seconds: float) -> float:
    return seconds if math.isfinite(seconds) and 0 <= seconds <= _LARGEST else 0.0
