"""The arguments of `reset`: checked, and packed for the wire."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlmesh.codec.infos.packable_types import kind_of
from rlmesh.codec.infos.packing import Degraded, pack, pack_listing
from rlmesh.codec.infos.type_guards import is_array, is_mapping, is_row
from rlmesh.errors import ArgumentTypeError, InvalidArgumentError
from rlmesh.limits import MAX_SEED_BITS
from rlmesh_api.v1 import session_pb2

RESET_MASK = "reset_mask"
"""The option that says which sub-environments to reset."""

# Gymnasium takes any integer from 0, and NumPy's SeedSequence too; a server has a limit.
_SEED = f"a seed is an integer from 0 to 2**{MAX_SEED_BITS} - 1, or None"


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
            seed = _sub_env_seeds(list(seed), num_envs)
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


def check_seed(seed: Any) -> int:
    """A seed as a Python int.

    Raises:
        ArgumentTypeError: If it is no integer.
        InvalidArgumentError: If it is negative, or too large.
    """
    kind = kind_of(seed)
    if issubclass(kind, bool | np.bool_) or not issubclass(kind, int | np.integer):
        raise ArgumentTypeError(f"reset: {_SEED}; got {type(seed).__name__} {seed!r:.80}")
    number = int(seed)
    if number.bit_length() > MAX_SEED_BITS:
        # Python refuses to write so long a number.
        raise InvalidArgumentError(f"reset: {_SEED}; got an int of {number.bit_length()} bits")
    if number < 0:
        raise InvalidArgumentError(f"reset: {_SEED}; got {number}")
    return number


def check_reset_mask(options: Any, num_envs: int) -> Any:
    """The options of a reset, with its `reset_mask`, if it has one, as an array.

    The errors are of the built-in types that Gymnasium's own vector environments raise.

    Raises:
        ArgumentTypeError: If the mask is no array of bools.
        InvalidArgumentError: If its shape is wrong, or it holds for no sub-environment.
    """
    if not is_mapping(options) or RESET_MASK not in options:
        return options
    given = options[RESET_MASK]
    mask = np.asarray(given)
    expected = f"reset: {RESET_MASK} must be a bool array of shape ({num_envs},), got"
    if is_row(given) or mask.dtype != np.bool_:
        raise ArgumentTypeError(f"{expected} {type(given).__name__} {given!r:.80}")
    if mask.shape != (num_envs,):
        raise InvalidArgumentError(f"{expected} {mask.shape}")
    if not mask.any():
        raise InvalidArgumentError(
            f"reset: {RESET_MASK} must hold for one sub-environment or more, got none"
        )
    return {**options, RESET_MASK: mask}


def _sub_env_seeds(seeds: list[Any], num_envs: int) -> list[int | None]:
    if len(seeds) != num_envs:
        raise InvalidArgumentError(
            f"reset: seeds must be one for each of the {num_envs} sub-environments, got "
            f"{len(seeds)}"
        )
    return [None if seed is None else check_seed(seed) for seed in seeds]
