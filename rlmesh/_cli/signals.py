"""SIGINT and SIGTERM, from before the environment is made until the process ends."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Generator
from types import FrameType
from typing import Any, NoReturn

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Whoever ends a process may ask it and its group, so that it hears the same wish twice.
_REPEAT_SECONDS = 1.0
# How long what is being made may take to be unwound, until the process ends without it.
_UNWIND_SECONDS = 1.0


class EndedBySignal(BaseException):
    """The process was asked to end; raised on the main thread wherever it is."""


class EndSignals:
    """Ends the process cleanly when SIGINT or SIGTERM arrives.

    `unwinding` interrupts what it runs. Elsewhere a signal is remembered, and `end` is called if
    that is set. A second signal ends the process at once, since what ends may hang.

    Args:
        patient: Whether a second signal is ignored instead: what ends is known to end soon.

    Attributes:
        arrived: Whether a signal has come.
        end: What to call when one comes, on a thread of its own; None: nothing.
    """

    def __init__(self, *, patient: bool = False) -> None:
        self._patient = patient
        self._first: float | None = None
        self._unwinding = False
        self._unwound = threading.Event()
        self.arrived = False
        self.end: Callable[[], None] | None = None

    @contextlib.contextmanager
    def taken(self) -> Generator[None]:
        """Takes the signals inside of this; on the main thread."""
        before = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        try:
            with _heard(self._hear):
                yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def unwinding(self, work: Callable[[], Any]) -> Any:
        """Runs `work`; a signal interrupts it.

        Work that does not let itself be interrupted, inside of C code for instance, is abandoned,
        and the process with it, unless the signals are taken patiently.

        Raises:
            EndedBySignal: If a signal came.
        """
        self._unwinding = True
        try:
            if self.arrived:
                raise EndedBySignal
            return work()
        finally:
            self._unwinding = False
            self._unwound.set()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        """Runs on the main thread, when that is back in the interpreter."""
        self.arrived = True
        if self._unwinding:
            self._unwinding = False
            raise EndedBySignal

    def _hear(self, number: int) -> None:
        """Runs on a thread beside it, at once."""
        if number not in _SIGNALS:
            return
        now = time.monotonic()
        if self._first is None:
            self._first = now
            self.arrived = True
            work = self.end or self._abandon
            threading.Thread(target=work, name="rlmesh-signal", daemon=True).start()
        elif now - self._first > _REPEAT_SECONDS and not self._patient:
            exit_at_once(128 + number)

    def _abandon(self) -> None:
        if self._unwinding and not self._patient and not self._unwound.wait(_UNWIND_SECONDS):
            exit_at_once(0)


def exit_at_once(code: int) -> NoReturn:
    """Ends the process although the main thread is stuck, the environment's workers included."""
    for worker in multiprocessing.active_children():
        worker.terminate()
    os._exit(code)


def keep_signals_from_workers() -> None:
    """Has processes that are forked from now on end by SIGTERM, ignore Ctrl-C, and tell nobody.

    In a terminal Ctrl-C reaches a server and the workers of its environment alike, and the workers
    must live until the environment closes them.
    """
    os.register_at_fork(after_in_child=_be_a_worker)


def _be_a_worker() -> None:
    # The pipe behind it is the parent's.
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextlib.contextmanager
def _heard(hear: Callable[[int], None]) -> Generator[None]:
    """Calls `hear` on another thread for every signal that has a Python handler, as it arrives.

    Python runs a handler on the main thread, when that is back in the interpreter. It may be in a
    long call of C code, or about to wait for a lock: a signal that arrives after the interpreter
    has looked for signals, and before the wait begins, does not interrupt the wait. The wakeup
    descriptor is written by the signal itself.

    Args:
        hear: Called with the signal's number; returns soon.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def listen() -> None:
        # No signal has the number 0.
        while (number := os.read(reader, 1)[0]) != 0:
            hear(number)

    listener = threading.Thread(target=listen, name="rlmesh-listener", daemon=True)
    listener.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        # Closing would not end the thread: a forked process may hold the pipe too.
        os.write(writer, b"\0")
        listener.join()
        os.close(writer)
        os.close(reader)
