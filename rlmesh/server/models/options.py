"""How a server's models are served."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rlmesh.codec.checks.policy import Policy
from rlmesh.counts import check_count
from rlmesh.errors import ArgumentTypeError
from rlmesh.seconds import check_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """How each model of a server is served.

    Attributes:
        policy: What to do about values outside of their bounds.
        max_batch_size: The most observations that a model computes at once; None: as many as wait.
        batch_wait_seconds: For how many seconds a batch waits for further requests.
        queue_limit: How many requests may wait for a model; None: as many as there are sessions.
        warmup: Whether the model's `warmup` is called before it serves.
    """

    policy: Policy
    max_batch_size: int | None = None
    batch_wait_seconds: float = 0.0
    queue_limit: int | None = None
    warmup: bool = True


def read_model_options(
    *,
    policy: Policy,
    max_batch_size: object,
    batch_wait_seconds: Any,
    queue_limit: object,
    warmup: object,
) -> ModelOptions:
    """Checks the arguments of a `ModelWorker` that concern its models; it documents each.

    Raises:
        ArgumentTypeError: If one has the wrong type.
        InvalidArgumentError: If a number is out of its range.
    """
    if not isinstance(warmup, bool):
        raise ArgumentTypeError(f"warmup must be True or False, got {warmup!r:.80}")
    wait = check_seconds("batch_wait_seconds", batch_wait_seconds)
    if wait is None:
        raise ArgumentTypeError(
            "batch_wait_seconds must be a number of seconds, got None; 0 never waits"
        )
    return ModelOptions(
        policy=policy,
        max_batch_size=check_count("max_batch_size", max_batch_size),
        batch_wait_seconds=wait,
        queue_limit=check_count("queue_limit", queue_limit),
        warmup=warmup,
    )
