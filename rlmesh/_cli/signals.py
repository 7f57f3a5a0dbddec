"""SIGINT and SIGTERM for a command, from before the environment is made until the process ends."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Generator
from typing import Any

from rlmesh.server.signals import SignalListener, exit_at_once

# How long the work may take to stop after a signal, until the process ends without it.
_UNWIND_SECONDS = 1.0


class EndedBySignal(BaseException):
    """The process was asked to end; raised on the main thread in the work that it does."""


class CommandSignals:
    """Ends a command cleanly when SIGINT or SIGTERM arrives.

    A signal interrupts the work that `unwinding` runs. At any other time the signal is remembered,
    and `end` is called if it is set. A second signal ends the process at once, because what the
    command waits for may hang.

    Args:
        patient: Whether to ignore a second signal instead, because the command ends soon.

    Attributes:
        arrived: Whether a signal has arrived.
        end: Called at the first signal, on its own thread; None: nothing.
    """

    def __init__(self, *, patient: bool = False) -> None:
        self._patient = patient
        self._unwinding = False
        self._unwound = threading.Event()
        self.arrived = False
        self.end: Callable[[], None] | None = None

    @contextlib.contextmanager
    def taken(self) -> Generator[None]:
        """Takes the signals inside of this; on the main thread."""
        with SignalListener(
            self._on_signal,
            on_main_thread=self._on_main_thread,
            repeat_ends_process=not self._patient,
        ):
            yield

    def unwinding(self, work: Callable[[], Any]) -> Any:
        """Runs `work`; a signal interrupts it.

        Work that cannot be interrupted, inside of native code for instance, is abandoned and the
        process ends, unless the signals are taken patiently.

        Raises:
            EndedBySignal: If a signal arrived.
        """
        self._unwinding = True
        try:
            if self.arrived:
                raise EndedBySignal
            return work()
        finally:
            self._unwinding = False
            self._unwound.set()

    def _on_main_thread(self) -> None:
        self.arrived = True
        if self._unwinding:
            self._unwinding = False
            raise EndedBySignal

    def _on_signal(self) -> None:
        self.arrived = True
        # Either may take a while, and the listener has to hear a second signal.
        work = self.end or self._abandon
        threading.Thread(target=work, name="rlmesh-end", daemon=True).start()

    def _abandon(self) -> None:
        if self._unwinding and not self._patient and not self._unwound.wait(_UNWIND_SECONDS):
            exit_at_once(0)


def wait_for_children() -> None:
    """Has this process know how its children end, whatever the program that started it ignores.

    A process that inherits an ignored SIGCHLD cannot ask for its children's exit codes: each seems
    to be 0, that of a child that was killed too.
    """
    if signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def keep_signals_from_children() -> None:
    """Has processes that are forked from now on end by SIGTERM and ignore Ctrl-C.

    In a terminal Ctrl-C reaches a server and the children of its environment alike, and the
    children must live until the environment closes them.
    """
    os.register_at_fork(after_in_child=_set_child_handlers)


def _set_child_handlers() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
