"""The thread that made an environment, for errors of libraries that are bound to their thread."""

from __future__ import annotations

import re
import threading

from rlmesh.server.failures import CallFailedError, env_raised

# What sqlite3, greenlet (a browser driver), asyncio, signal and OpenGL say on another thread.
_BOUND_TO_THREAD = re.compile(r"\bthreads?\b|greenlet|event loop|\bGL context\b", re.IGNORECASE)


class HomeThread:
    """The thread that made an environment: the one that constructs this."""

    def __init__(self) -> None:
        thread = threading.current_thread()
        self._id = thread.ident
        self._name = thread.name

    def env_raised(self, doing: str, error: BaseException) -> CallFailedError:
        """The failure that an exception of the environment is.

        Where the environment is called on another thread than the one that made it, and the
        exception reads as if that were the reason, the message names both threads and what to do.

        Args:
            doing: What raised: `the environment's step()`.
            error: What it raised.
        """
        raised = env_raised(doing, error)
        failure = raised.failure
        if threading.get_ident() == self._id or not _BOUND_TO_THREAD.search(
            f"{failure.exception_type}: {failure.exception_message}"
        ):
            return raised
        failure.message += (
            f". The environment was made on the thread {self._name!r} and is called on the thread "
            f"{threading.current_thread().name!r}, which a library that is bound to its thread "
            f"does not allow; pass EnvServer a callable that makes the environment, which is then "
            f"made and called on one thread, or call serve() on the thread that made it"
        )
        return CallFailedError(failure)
