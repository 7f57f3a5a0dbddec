"""The threads on which gRPC runs the calls of a server."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent import futures
from typing import Any, TypeVar

T = TypeVar("T")


class ThreadPerCall(futures.ThreadPoolExecutor):
    """Runs each call on its own daemon thread. gRPC asks for the class and calls `submit`.

    A session lasts as long as its client stays. At the end of a program, Python waits for the
    threads of a `ThreadPoolExecutor`: a program that did not shut its server down would not end
    before its clients do. A thread costs some ten microseconds, once for each session.
    """

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> futures.Future[T]:
        """Starts `fn`. If no thread can be started, the future has the error."""
        future: futures.Future[T] = futures.Future()
        thread = threading.Thread(
            target=_run, args=(future, fn, args, kwargs), name="rlmesh-rpc", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as error:
            # If it were raised here, it would end the thread on which gRPC receives every call.
            future.set_exception(error)
        return future


def _run(
    future: futures.Future[T], fn: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    try:
        result = fn(*args, **kwargs)
    except BaseException as error:  # noqa: BLE001 - the future has it
        future.set_exception(error)
    else:
        future.set_result(result)
