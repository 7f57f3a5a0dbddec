"""SIGINT and SIGTERM, heard at once whatever the main thread is doing."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Generator
from types import FrameType
from typing import Any

__all__ = ["REPEAT_SECONDS", "end_by_signals", "signals_heard"]

# Whoever ends a process may ask it and its group, so that it hears the same wish twice.
REPEAT_SECONDS = 1.0

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def end_by_signals(end: Callable[[], None]) -> Generator[None]:
    """Has SIGINT and SIGTERM call `end`, on a thread of its own; does nothing off the main thread.

    A signal that comes a while after the first does what it would have done without this: what
    ends may hang.

    Args:
        end: What to call, perhaps more than once.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def begin(number: int) -> None:
        if number in before:
            # `end` may wait, for the very thread that the signal interrupts too.
            threading.Thread(target=end, name="rlmesh-end").start()

    arrived: list[float] = []

    def step_back(number: int, frame: FrameType | None) -> None:
        arrived.append(time.monotonic())
        if arrived[-1] - arrived[0] > REPEAT_SECONDS:
            _restore(before)
            os.kill(os.getpid(), number)

    before = {number: signal.signal(number, step_back) for number in _SIGNALS}
    try:
        with signals_heard(begin):
            yield
    finally:
        _restore(before)


@contextlib.contextmanager
def signals_heard(hear: Callable[[int], None]) -> Generator[None]:
    """Calls `hear` on another thread for every signal that has a Python handler, as it arrives.

    Python runs a handler on the main thread, when that is back in the interpreter. It may be in a
    long call of C code, or about to wait for a lock: a signal that arrives after the interpreter
    has looked for signals, and before the wait begins, does not interrupt the wait. The wakeup
    descriptor is written by the signal itself. To be used on the main thread.

    Args:
        hear: Called with the signal's number; returns soon.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    _hearing.append(writer)

    def listen() -> None:
        while numbers := os.read(reader, 64):
            for number in numbers:
                hear(number)
            if before != -1:
                # Whoever listened before us still listens; a full pipe has told him enough.
                with contextlib.suppress(BlockingIOError):
                    os.write(before, numbers)

    listener = threading.Thread(target=listen, name="rlmesh-signals", daemon=True)
    listener.start()
    try:
        yield
    finally:
        _hearing.remove(writer)
        signal.set_wakeup_fd(before)
        os.close(writer)
        listener.join()
        os.close(reader)


_hearing: list[int] = []


def _be_a_child() -> None:
    """A forked process shares the pipes, and must not tell its parent of its own signals."""
    if _hearing:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


os.register_at_fork(after_in_child=_be_a_child)


def _restore(handlers: dict[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
