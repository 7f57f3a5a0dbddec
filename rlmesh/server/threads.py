"""The threads on which gRPC calls the service."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent import futures
from typing import Any, TypeVar

T = TypeVar("T")


class ThreadPerCall(futures.ThreadPoolExecutor):
    """Runs every call on a daemon thread of its own. grpc asks for the class and calls `submit`.

    A session lasts as long as its client stays, and Python waits at its end for the threads of a
    `ThreadPoolExecutor`: a program that forgot to shut its server down would not end before its
    clients do. A thread costs some ten microseconds, once for each session.
    """

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> futures.Future[T]:
        """Begins to run `fn`; that no thread can be had is told in the future."""
        future: futures.Future[T] = futures.Future()
        thread = threading.Thread(
            target=_run, args=(future, fn, args, kwargs), name="rlmesh-rpc", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as error:
            # Raised here it would end the thread on which grpc takes every call.
            future.set_exception(error)
        return future


def _run(
    future: futures.Future[T], fn: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    try:
        result = fn(*args, **kwargs)
    except BaseException as error:  # noqa: BLE001 - handed to whoever holds the future
        future.set_exception(error)
    else:
        future.set_result(result)
