"""The worker spec: what a worker is to make."""

from __future__ import annotations

from dataclasses import dataclass

from rlmesh.server.envs.options import EnvOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSpec:
    """What a worker is to make.

    Attributes:
        factory: The callable that makes the environment, pickled.
        options: How the environment is served.
        argv: The server's command line, for an environment that looks at it.
        level: From which level on to log.
        memory: Whether calls cross shared memory.
    """

    factory: bytes
    options: EnvOptions
    argv: list[str]
    level: int
    memory: bool
