"""The worker spec: which model a worker is to make, and how it serves it."""

from __future__ import annotations

from dataclasses import dataclass

from rlmesh.server.models.options import ModelOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """Which model a worker is to make.

    Attributes:
        factory: The callable that makes the model, and the spaces in place of the model's own,
            pickled.
        name: Its name among those of its server; None: as `read_model_contract` says.
        options: How it is served.
        argv: The server's command line, for a model that looks at it.
        level: From which level on to log.
        memory: Whether calls cross shared memory.
    """

    factory: bytes
    name: str | None
    options: ModelOptions
    argv: list[str]
    level: int
    memory: bool
