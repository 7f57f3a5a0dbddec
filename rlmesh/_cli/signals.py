"""SIGINT and SIGTERM, from before the environment is made until the server takes them over."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class EndedBySignal(BaseException):
    """The process was asked to end; raised on the main thread wherever it is."""


class EndSignals:
    """Ends the work inside of its `with` block cleanly when SIGINT or SIGTERM arrives.

    `unwinding` interrupts what it runs; elsewhere a signal is remembered in `arrived`, and `end` is
    called if that is set. The next signal kills the process, since what ends may hang.

    Args:
        patient: Whether further signals are ignored instead: what ends is known to end soon.

    Attributes:
        arrived: Whether a signal has come.
        end: What to call when one comes, on a thread of its own; None: nothing.
        ending: Whether the first signal was dealt with, so that the next is a second one.
    """

    def __init__(self, *, patient: bool = False) -> None:
        self._patient = patient
        self.arrived = False
        self.end: Callable[[], None] | None = None
        self.ending = False
        self._unwinding = False
        self._before: dict[signal.Signals, Any] = {}

    def unwinding(self, work: Callable[[], Any]) -> Any:
        """Runs `work`; a signal interrupts it.

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

    def __enter__(self) -> Self:
        """Takes the signals."""
        self._before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Gives the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.ending:
            if not self._patient:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
            return
        self.arrived = True
        if self._unwinding:
            self.ending = True
            raise EndedBySignal
        if self.end is not None:
            threading.Thread(target=self.end, name="rlmesh-signal").start()


def leave_signals_to_parent() -> None:
    """Has processes that are forked from now on ignore Ctrl-C and end by SIGTERM as usual.

    Ctrl-C in a terminal reaches a server and the workers of its environment alike; the workers must
    live until the environment closes them.
    """
    os.register_at_fork(after_in_child=_be_a_worker)


def _be_a_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
