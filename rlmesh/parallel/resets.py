"""The arguments of a vector environment's `reset`, checked."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rlmesh.codec.infos.packable_types import kind_of
from rlmesh.codec.infos.type_guards import is_array, is_mapping, is_row
from rlmesh.errors import ArgumentTypeError, InvalidArgumentError
from rlmesh.limits import MAX_SEED_BITS

__all__ = ["RESET_MASK", "check_reset_mask", "check_seed", "listed_seeds", "mask_of", "seeds_of"]

RESET_MASK = "reset_mask"
"""The option that says which sub-environments to reset."""

# Gymnasium takes any integer from 0, and NumPy's SeedSequence too; a server has a limit.
_SEED = f"a seed is an integer from 0 to 2**{MAX_SEED_BITS} - 1, or None"


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


def mask_of(options: Any) -> npt.NDArray[np.bool_] | None:
    """The mask in options that `check_reset_mask` has checked; None where there is none."""
    if not is_mapping(options) or RESET_MASK not in options:
        return None
    mask: npt.NDArray[np.bool_] = options[RESET_MASK]
    return mask


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


def seeds_of(seed: Any, num_envs: int) -> list[int | None]:
    """The seed of each sub-environment, as Gymnasium's own vector environments choose it.

    Args:
        seed: None; an integer, which counts on from sub-environment to sub-environment; or a list,
            tuple or array with an integer or None for each.
        num_envs: How many sub-environments there are.

    Raises:
        ArgumentTypeError: If it is none of these.
        InvalidArgumentError: If a seed is negative, or seeds are not as many as sub-environments.
    """
    if seed is None:
        return [None] * num_envs
    if is_row(seed) or (is_array(seed) and seed.ndim):
        return listed_seeds(list(seed), num_envs)
    return [check_seed(seed) + env_index for env_index in range(num_envs)]


def listed_seeds(seeds: list[Any], num_envs: int) -> list[int | None]:
    """Seeds that are given one by one, checked.

    Raises:
        ArgumentTypeError: If one is no integer.
        InvalidArgumentError: If one is negative, or they are not as many as sub-environments.
    """
    if len(seeds) != num_envs:
        raise InvalidArgumentError(
            f"reset: seeds must be one for each of the {num_envs} sub-environments, got "
            f"{len(seeds)}"
        )
    return [None if seed is None else check_seed(seed) for seed in seeds]
