"""The places of a server, and the queue for them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

_LONGEST_WAIT = threading.TIMEOUT_MAX


class Admission:
    """Gives places to clients, first come, first served. Any thread may call it.

    Args:
        count: How many places there are.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._lock = threading.Lock()
        self._queue: deque[_Waiting] = deque()
        self._closed = False

    def take(
        self,
        seconds: float,
        on_leaving: Callable[[Callable[[], None]], None],
        vacate: Callable[[], None] | None = None,
    ) -> bool:
        """Takes a place; False if none became free in time.

        Args:
            seconds: For how long to wait for one.
            on_leaving: Has a callback called when the client has left.
            vacate: Ends the session whose place the client takes over: the client is the first in
                the queue then, and waits as long as it takes. None: it takes over none.
        """
        waiting = _Waiting()
        with self._lock:
            if self._closed:
                return False
            if self._free:
                self._free -= 1
                waiting.given = True
            elif vacate is not None:
                seconds = _LONGEST_WAIT
                self._queue.appendleft(waiting)
            elif seconds > 0:
                self._queue.append(waiting)
            else:
                return False
        if vacate is not None:
            vacate()
        if waiting.given:
            return True
        on_leaving(waiting.over.set)
        waiting.over.wait(min(seconds, _LONGEST_WAIT))
        with self._lock:
            if not waiting.given:
                self._queue.remove(waiting)
            return waiting.given

    def give_back(self) -> None:
        """Gives a place to the client that has waited longest."""
        with self._lock:
            for waiting in self._queue:
                if not (waiting.given or waiting.over.is_set()):
                    waiting.given = True
                    self._queue.remove(waiting)
                    waiting.over.set()
                    return
            self._free += 1

    def close(self) -> None:
        """Gives no more places; all waits end."""
        with self._lock:
            self._closed = True
            for waiting in self._queue:
                waiting.over.set()


class _Waiting:
    """A client that waits for a place.

    Attributes:
        over: Set when the wait is over.
        given: Whether it got a place.
    """

    def __init__(self) -> None:
        self.over = threading.Event()
        self.given = False
