"""The supervisor: the one thread that starts and watches a server's workers."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import selectors
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

_log = logging.getLogger("rlmesh.server")

T = TypeVar("T")


class Supervisor:
    """Starts and watches workers on one thread that lives as long as they do.

    Linux kills a worker when the thread that started it ends (see `parent_death`), so that thread
    must not be the thread of a session. This one ends with the last worker. `_lock` guards the
    beginning and the end of the thread: `_doorbell` is None while there is none.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._doorbell: tuple[int, int] | None = None

    def do(self, work: Callable[[], T]) -> T:
        """Has the thread call `work`, and returns or raises what that does. Any thread may.

        Raises:
            OSError: If the thread would have to be started, and there is no descriptor.
            RuntimeError: If there is no thread.
        """
        future: Future[T] = Future()

        def execute() -> None:
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 - handed to the thread that asked
                future.set_exception(error)

        with self._lock:
            doorbell = self._doorbell or self._begin()
            self._work.put(execute)
            os.write(doorbell[1], b"\0")
        return future.result()

    def _begin(self) -> tuple[int, int]:
        """Starts the thread, under the lock; the doorbell. If it fails, everything is as before."""
        doorbell = os.pipe()
        with contextlib.ExitStack() as undo:
            for end in doorbell:
                undo.callback(os.close, end)
            selector = undo.enter_context(selectors.DefaultSelector())
            selector.register(doorbell[0], selectors.EVENT_READ, self._take)
            self._selector, self._doorbell = selector, doorbell
            try:
                threading.Thread(
                    target=self._run,
                    args=(selector, doorbell),
                    name="rlmesh-supervisor",
                    daemon=True,
                ).start()
            except BaseException:
                self._doorbell = None
                raise
            undo.pop_all()
        return doorbell

    def watch(self, descriptor: int, on_readable: Callable[[], None]) -> None:
        """Calls `on_readable` whenever a descriptor is readable; both only on the thread."""
        self._selector.register(descriptor, selectors.EVENT_READ, on_readable)

    def forget(self, descriptor: int) -> None:
        """Stops watching a descriptor, before it is closed; only on the thread."""
        self._selector.unregister(descriptor)

    def watches(self, descriptor: int) -> bool:
        """Whether a descriptor is watched; only on the thread."""
        return descriptor in self._selector.get_map()

    def _run(self, selector: selectors.BaseSelector, doorbell: tuple[int, int]) -> None:
        while not self._is_over(selector):
            for key, _ in selector.select():
                # A descriptor that was forgotten a moment ago may be among them.
                if selector.get_map().get(key.fd) is key:
                    try:
                        key.data()
                    except Exception:  # noqa: BLE001 - the workers would die with this thread
                        _log.exception("a defect of RLMesh while it watched a worker")
        selector.close()
        for end in doorbell:
            os.close(end)

    def _is_over(self, selector: selectors.BaseSelector) -> bool:
        """Whether no worker lives; this thread ends then, and another one begins with the next."""
        with self._lock:
            over = self._work.empty() and len(selector.get_map()) == 1
            if over:
                self._doorbell = None
            return over

    def _take(self) -> None:
        if self._doorbell is not None:
            os.read(self._doorbell[0], 4096)
        while not self._work.empty():
            self._work.get()()
