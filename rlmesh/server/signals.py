"""SIGINT and SIGTERM while a server, or a command of ours, has the main thread."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, NoReturn

from typing_extensions import Self

from rlmesh.transports.system_resources import system_resources

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# A supervisor may signal a process and then its group: one request arrives as two signals.
_ONE_REQUEST_SECONDS = 1.0


class CallInterruptedError(BaseException):
    """Raised inside a call of the environment that a shutdown no longer waits for."""


class SignalListener:
    """Takes SIGINT and SIGTERM while the main thread is in the `with` block.

    The first signal calls `on_signal`. A later one, at least a second after the first, ends the
    process at once, because what the process waits for may hang. On any thread but the main one
    the block changes nothing: Python delivers signals to the main thread only. On leaving, and in
    a forked process at once, the handlers are again what they were.

    A thread, `rlmesh-signals`, hears the signals. Python runs a handler on the main thread only
    between two steps of the interpreter: not while the main thread is in native code, and not
    before it wakes up, if the signal arrived just before it went to sleep. What Python's C handler
    writes to the wakeup descriptor arrives at once.

    Args:
        on_signal: Called on the listener's thread at the first signal; it must return at once.
        on_main_thread: Called on the main thread at every signal that `interrupt` did not send,
            when that thread is back in the interpreter; it may raise.
        repeat_ends_process: Whether a repeated signal ends the process. False where the process
            is known to end soon after the first.
    """

    def __init__(
        self,
        on_signal: Callable[[], None],
        *,
        on_main_thread: Callable[[], None] | None = None,
        repeat_ends_process: bool = True,
    ) -> None:
        self._on_signal = on_signal
        self._on_main_thread = on_main_thread
        self._repeat_ends_process = repeat_ends_process
        self._handlers_before: dict[signal.Signals, Any] = {}
        self._wakeup_before = -1
        self._pipe: tuple[int, int] | None = None
        self._thread: threading.Thread | None = None
        self._own_signals = 0
        self._still_in_call: Callable[[], bool] | None = None

    def __enter__(self) -> Self:
        """Takes the signals; raises `SystemResourceError` where no descriptor is free."""
        if threading.current_thread() is threading.main_thread():
            _active.append(self)
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

    def interrupt(self, still_in_call: Callable[[], bool]) -> bool:
        """Raises `CallInterruptedError` on the main thread, once that is back in Python.

        Args:
            still_in_call: Whether the main thread is still in the call to interrupt; called on
                the main thread.

        Returns:
            Whether an interruption is possible: this object has the signals, and the environment
            has not replaced the handlers.
        """
        main = threading.main_thread().ident
        if main is None or signal.getsignal(signal.SIGTERM) != self._handle:
            return False
        self._still_in_call = still_in_call
        self._own_signals += 1
        # A real signal, because it ends the system call that the main thread waits in.
        signal.pthread_kill(main, signal.SIGTERM)
        return True

    def leave_to_parent(self) -> None:
        """Gives the signals back in a forked process, which has the pipe but not the thread."""
        for number, handler in self._handlers_before.items():
            signal.signal(number, handler)
        self._handlers_before.clear()
        if self._pipe is not None:
            signal.set_wakeup_fd(self._wakeup_before)
            for end in self._pipe:
                os.close(end)
            self._pipe = None

    def _take(self) -> None:
        with system_resources("take SIGINT and SIGTERM"):
            reader, writer = self._pipe = os.pipe()
        os.set_blocking(writer, False)
        self._wakeup_before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        thread = threading.Thread(
            target=self._listen, args=(reader,), name="rlmesh-signals", daemon=True
        )
        thread.start()
        self._thread = thread
        for number in _SIGNALS:
            before = signal.signal(number, self._handle)
            # None stands for a handler that Python did not install and cannot put back.
            self._handlers_before[number] = signal.SIG_DFL if before is None else before

    def _give_back(self) -> None:
        if self in _active:
            _active.remove(self)
            if self._pipe is not None and self._thread is not None:
                # No signal has the number 0. Closing the pipe would not end the thread, because a
                # forked process may hold the pipe too.
                os.write(self._pipe[1], b"\0")
                self._thread.join()
            self.leave_to_parent()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        """The handler: runs on the main thread, when that is back in the interpreter."""
        still_in_call, self._still_in_call = self._still_in_call, None
        if still_in_call is not None:
            if still_in_call():
                raise CallInterruptedError
        elif self._on_main_thread is not None:
            self._on_main_thread()

    def _listen(self, reader: int) -> None:
        """Runs on the listener's thread."""
        first: float | None = None
        # One byte for each signal, its number.
        while (number := os.read(reader, 1)[0]) != 0:
            if number not in _SIGNALS:
                continue
            if self._own_signals:
                self._own_signals -= 1
            elif first is None:
                first = time.monotonic()
                self._on_signal()
            elif time.monotonic() - first >= _ONE_REQUEST_SECONDS and self._repeat_ends_process:
                exit_at_once(128 + number)


def exit_at_once(code: int) -> NoReturn:
    """Ends the process and its `multiprocessing` children, even if the main thread is stuck."""
    for child in multiprocessing.active_children():
        child.terminate()
    os._exit(code)


# The listeners that have the signals, the innermost last. Only the main thread changes it.
_active: list[SignalListener] = []
_forking = threading.local()


def _before_fork() -> None:
    # A signal for the new process waits until that has its own handlers.
    _forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)


def _after_fork_in_parent() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _forking.mask)


def _after_fork_in_child() -> None:
    while _active:
        _active.pop().leave_to_parent()
    _after_fork_in_parent()


# A process that an environment forks handles signals by itself; its server does not hear them.
os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)
