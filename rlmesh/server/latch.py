"""An event that a signal handler may set."""

from __future__ import annotations

import threading


class Latch:
    """An event that is set once, and that a signal handler may set.

    A `threading.Event` has a lock, which the main thread may hold when the handler interrupts it.
    This has none: `open` and `wait` rely on list operations that are atomic.
    """

    def __init__(self) -> None:
        self._open = False
        self._waiting: list[threading.Lock] = []

    def open(self) -> None:
        """Ends every wait, from now on."""
        self._open = True
        # A wait that begins after this copy finds the latch open.
        for lock in self._waiting.copy():
            lock.release()

    def wait(self, timeout: float | None) -> bool:
        """Waits until it is open, `timeout` seconds at most; whether it is."""
        lock = threading.Lock()
        lock.acquire()
        self._waiting.append(lock)
        try:
            return self._open or lock.acquire(timeout=-1 if timeout is None else timeout)
        finally:
            self._waiting.remove(lock)
