"""The backend of a vector environment whose sub-environments run in worker processes."""

from __future__ import annotations

from typing import Any

from rlmesh.contract import read_contract
from rlmesh.parallel.vector_env import ParallelVectorEnv, pool_of
from rlmesh.server.envs.local import LocalBackend
from rlmesh.server.envs.options import EnvOptions


class ParallelBackend(LocalBackend):
    """A vector environment in this process, and its workers; see `Backend`.

    Args:
        env: The vector environment.
        options: How it is served.
    """

    def __init__(self, env: ParallelVectorEnv[Any, Any], options: EnvOptions) -> None:
        super().__init__(env, read_contract(env, delivers_nan=options.delivers_nan), options)
        self._workers = pool_of(env)

    def stack(self) -> str | None:
        """Where in the code the sub-environments are that this process waits for."""
        return self._workers.pending_stacks() or None

    def abandon(self, reason: str, *, starting: bool = True) -> bool:
        """Kills the workers that the call in progress waits for; see `Backend`."""
        return self._workers.abandon(reason)
