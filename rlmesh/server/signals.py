"""SIGINT and SIGTERM while a server has the main thread."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Whoever ends a process may ask it and its group, so that it hears one wish twice.
_ONE_WISH_SECONDS = 1.0


class CallInterruptedError(BaseException):
    """Raised inside of an environment's call for whose end a shutdown has waited long enough."""


class EndSignals:
    """Has SIGINT and SIGTERM end a server while the main thread is in the `with` block.

    The first asks the server to end. A second one, a second later or more, ends the process at
    once: what the server waits for may hang. On any other thread this does nothing, as only the
    main thread of a program gets signals. Afterwards, and in a forked process at once, the handlers
    are again what they were.

    A thread of its own hears the signals. Python runs handlers on the main thread between two
    steps of it: never while it is stuck in native code, and not before it wakes up where a signal
    has come just before it went to sleep. What Python's C handler writes arrives at once.

    Args:
        end: Asks the server to end, and returns.
    """

    def __init__(self, end: Callable[[], None]) -> None:
        self._end = end
        self._before: dict[signal.Signals, Any] = {}
        self._pipe: tuple[int, int] | None = None
        self._wakeup_before = -1
        self._thread: threading.Thread | None = None
        self._own_signals = 0
        self._interruptible: Callable[[], bool] | None = None

    def __enter__(self) -> Self:
        """Takes the signals."""
        if threading.current_thread() is threading.main_thread():
            _holders.append(self)
            try:
                self._take()
            except BaseException:
                self._give_back()
                raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Gives the signals back."""
        self._give_back()

    def interrupt(self, still: Callable[[], bool]) -> bool:
        """Raises `CallInterruptedError` on the main thread, as soon as that is back in Python.

        Args:
            still: Whether the main thread is still in the call; asked on the main thread.

        Returns:
            Whether there is a way: this object has the signals, and the environment has not taken
            them meanwhile.
        """
        main = threading.main_thread().ident
        if main is None or signal.getsignal(signal.SIGTERM) != self._handle:
            return False
        self._interruptible = still
        self._own_signals += 1
        # A real signal, because it wakes the main thread from what it waits for in the system.
        signal.pthread_kill(main, signal.SIGTERM)
        return True

    def leave_to_parent(self) -> None:
        """Gives the signals back in a forked process, which has the pipe and not the thread."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()
        if self._pipe is not None:
            signal.set_wakeup_fd(self._wakeup_before)
            for end in self._pipe:
                os.close(end)
            self._pipe = None

    def _take(self) -> None:
        reader, writer = self._pipe = os.pipe()
        os.set_blocking(writer, False)
        self._wakeup_before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        thread = threading.Thread(
            target=self._hear, args=(reader,), name="rlmesh-signals", daemon=True
        )
        thread.start()
        self._thread = thread
        for number in _SIGNALS:
            before = signal.signal(number, self._handle)
            # None stands for a handler that is not Python's, which cannot be put back.
            self._before[number] = signal.SIG_DFL if before is None else before

    def _give_back(self) -> None:
        if self in _holders:
            _holders.remove(self)
            if self._pipe is not None and self._thread is not None:
                # No signal has this number. Closing would not end the thread: a forked process may
                # hold the pipe too.
                os.write(self._pipe[1], b"\0")
                self._thread.join()
            self.leave_to_parent()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        """Runs on the main thread, when that is back in the interpreter."""
        still, self._interruptible = self._interruptible, None
        if still is not None and still():
            raise CallInterruptedError

    def _hear(self, reader: int) -> None:
        """Runs on a thread beside it, at once."""
        first: float | None = None
        # One byte for each signal, its number.
        while (number := os.read(reader, 1)[0]) != 0:
            if number not in _SIGNALS:
                continue
            if self._own_signals:
                self._own_signals -= 1
            elif first is None:
                first = time.monotonic()
                self._end()
            elif time.monotonic() - first >= _ONE_WISH_SECONDS:
                for worker in multiprocessing.active_children():
                    worker.terminate()
                os._exit(128 + number)


_holders: list[EndSignals] = []
_forking = threading.local()


def _before_fork() -> None:
    # A signal for the new process waits until its handlers are its own.
    _forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)


def _after_fork() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _forking.mask)


def _after_fork_in_child() -> None:
    while _holders:
        _holders.pop().leave_to_parent()
    _after_fork()


# Has a worker that an environment forks die of a signal, unheard by its server.
os.register_at_fork(
    before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child
)
