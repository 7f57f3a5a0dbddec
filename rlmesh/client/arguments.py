"""The arguments of `reset`: checked, and packed for the wire."""

from __future__ import annotations

from typing import Any

from rlmesh.codec.infos.packing import Degraded, pack, pack_listing
from rlmesh.codec.infos.type_guards import is_array, is_row
from rlmesh.errors import ArgumentTypeError
from rlmesh.parallel.resets import check_seed, listed_seeds
from rlmesh_api.v1 import session_pb2


def reset_call(
    seed: Any, options: Any, num_envs: int | None
) -> tuple[session_pb2.ResetCall, list[Degraded]]:
    """The message for `reset(seed=seed, options=options)`.

    Args:
        seed: None or an integer from 0; for a vector environment also a list, tuple or array with
            one of them for each sub-environment.
        options: None or a dict.
        num_envs: The number of sub-environments of a vector environment; None for a single one.

    Returns:
        The message, and which parts of the options will arrive as text.

    Raises:
        ArgumentTypeError: If seed or options have the wrong type.
        InvalidArgumentError: If a seed is negative, or seeds are not as many as sub-environments.
    """
    if seed is not None:
        if num_envs is not None and (is_row(seed) or (is_array(seed) and seed.ndim)):
            seed = listed_seeds(list(seed), num_envs)
        else:
            seed = check_seed(seed)
    if options is not None and not issubclass(type(options), dict):
        raise ArgumentTypeError(
            f"reset: options must be a dict or None, got {type(options).__name__} {options!r:.80}"
        )
    call = session_pb2.ResetCall(seed=b"" if seed is None else pack(seed))
    if options is None:
        return call, []
    call.options, degraded = pack_listing(options)
    return call, degraded
