"""Numbers of sub-environments that a user gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rlmesh.errors import ArgumentTypeError, InvalidArgumentError

__all__ = ["sub_env_numbers"]


def sub_env_numbers(env_ids: Any, num_envs: int) -> npt.NDArray[np.intp]:
    """The numbers of sub-environments as an array.

    Args:
        env_ids: A list or array of them, each once; None: all.
        num_envs: How many sub-environments there are.

    Raises:
        ArgumentTypeError: If they are no integers.
        InvalidArgumentError: If there is no sub-environment of a number, or one is named twice.
    """
    if env_ids is None:
        return np.arange(num_envs)
    given = np.asarray(env_ids)
    if given.shape == (0,):
        raise InvalidArgumentError("env_ids must name one sub-environment or more, got none")
    if given.dtype.kind not in "iu" or given.ndim != 1:
        raise ArgumentTypeError(
            f"env_ids must be a list of numbers of sub-environments, got {env_ids!r:.80}"
        )
    indices = given.astype(np.intp)
    if int(indices.min()) < 0 or int(indices.max()) >= num_envs:
        raise InvalidArgumentError(
            f"env_ids must be numbers from 0 to {num_envs - 1}, got {env_ids!r:.80}"
        )
    if len(np.unique(indices)) != len(indices):
        raise InvalidArgumentError(f"env_ids names a sub-environment twice: {env_ids!r:.80}")
    return indices
