"""The worker factory: makes environments in worker processes."""

from __future__ import annotations

import logging
import pickle
import sys
import time
import weakref
from collections.abc import Callable
from typing import Any

from rlmesh.errors import ArgumentTypeError, InvalidArgumentError
from rlmesh.processes.pickling import pickled
from rlmesh.processes.supervisor import Supervisor
from rlmesh.server.envs.options import EnvOptions
from rlmesh.server.envs.process.backend import ProcessBackend
from rlmesh.server.envs.process.env_worker import EnvWorker
from rlmesh.server.envs.process.spec import WorkerSpec
from rlmesh.server.failures import failed
from rlmesh.transports.listener import SUPPORTED
from rlmesh_api.v1 import session_pb2

# How long a worker's environment may take to be made; but three times as long as the first one's,
# for which there is no limit.
_START_SECONDS = 60.0


def isolated_factory(factory: object, isolation: object, options: EnvOptions) -> WorkerFactory:
    """The factory of a server's environments in worker processes.

    Args:
        factory: The callable that makes an environment.
        isolation: `process`.
        options: How each environment is served.

    Raises:
        ArgumentTypeError: If `factory` is no callable, or cannot be sent to another process.
        InvalidArgumentError: If there is no such isolation.
    """
    if isolation != "process":
        raise InvalidArgumentError(f"isolation must be 'process' or None, got {isolation!r:.80}")
    if not callable(factory) or (hasattr(factory, "step") and not isinstance(factory, type)):
        raise ArgumentTypeError(
            f"isolation='process' needs a callable that makes the environment, for it is made in "
            f"another process, got {type(factory).__name__}; pass "
            f"lambda: gymnasium.make('CartPole-v1'), for instance"
        )
    return WorkerFactory(factory, options)


class WorkerFactory:
    """Makes the environments of a server, each in a worker process.

    Args:
        factory: The callable that makes an environment, in the worker.
        options: How each environment is served.
        memory: Whether calls cross shared memory.

    Raises:
        ArgumentTypeError: If the callable cannot be sent to another process.
    """

    def __init__(
        self,
        factory: Callable[[], Any],
        options: EnvOptions,
        *,
        memory: bool = SUPPORTED,
    ) -> None:
        self._spec = pickle.dumps(
            WorkerSpec(
                factory=pickled(
                    factory, f"isolation='process': what makes the environment, {factory!r:.80},"
                ),
                options=options,
                argv=list(sys.argv),
                level=logging.getLogger("rlmesh").getEffectiveLevel(),
                memory=memory,
            )
        )
        self._supervisor = Supervisor()
        self._start_timeout: float | None = None
        self._workers: weakref.WeakSet[EnvWorker] = weakref.WeakSet()

    def make(self) -> ProcessBackend:
        """Makes an environment.

        Raises:
            CallFailedError: If there will be none.
        """
        began = time.monotonic()
        backend = ProcessBackend(self._start, self._start_timeout)
        if self._start_timeout is None:
            self._start_timeout = backend.start_timeout = max(
                _START_SECONDS, 3 * (time.monotonic() - began)
            )
        return backend

    def abandon(self) -> None:
        """Kills the workers, because there will be no server."""
        for worker in list(self._workers):
            worker.kill("there is no server for it")

    def _start(self) -> EnvWorker:
        try:
            worker = EnvWorker(self._supervisor, self._spec)
        except OSError as error:
            raise failed(
                session_pb2.ERROR_CODE_ENV_CRASHED,
                f"no worker process could be started for the environment: {error}",
            ) from error
        self._workers.add(worker)
        return worker
