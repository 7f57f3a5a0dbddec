"""How a server's environments are served."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rlmesh.codec.checks.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordOptions:
    """Where and how what happens in environments is recorded.

    Attributes:
        folder: The folder.
        max_bytes: What the recordings in it may take; None: there is no limit.
        observations: What is kept of each observation.
    """

    folder: Path
    max_bytes: int | None = None
    observations: Literal["all", "digest"] = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvOptions:
    """How each environment of a server is served; a worker process receives it pickled.

    Attributes:
        policy: What to do about values outside of their bounds.
        exposed: The names of the attributes that a client may read, set or call.
        delivers_nan: Whether NaN in a box of floats is delivered; the contract says so too.
        record: Where what happens is recorded; None: nowhere.
        counts_episodes: Whether the episodes are counted, for the metrics.
    """

    policy: Policy
    exposed: frozenset[str] = frozenset()
    delivers_nan: bool = False
    record: RecordOptions | None = None
    counts_episodes: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ParallelOptions:
    """How a server makes its vector environment of parallel sub-environments.

    Attributes:
        num_envs: The number of sub-environments; None: as many as callables.
        workers: The number of worker processes; None: one for each processor.
        on_crash: What to do about a worker that has died: `raise` or `replace`.
    """

    num_envs: int | None
    workers: int | None
    on_crash: Literal["raise", "replace"]
