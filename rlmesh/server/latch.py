"""A listener that opens once."""

from __future__ import annotations

import threading


class Latch:
    """Holds back whoever waits until somebody opens it, once and for all.

    Unlike a `threading.Event` it has no lock of its own, so a signal handler may use it though it
    interrupts the main thread while that is using it.
    """

    def __init__(self) -> None:
        self._open = False
        self._waiting: list[threading.Lock] = []

    def open(self) -> None:
        """Lets everybody pass from now on."""
        self._open = True
        # Whoever comes after this copy was made finds the latch open.
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
