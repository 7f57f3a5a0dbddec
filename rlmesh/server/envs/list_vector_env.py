"""A list of environments as the sub-environments of one vector environment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rlmesh.envs.single import single_env
from rlmesh.errors import InvalidEnvError

if TYPE_CHECKING:
    from gymnasium.vector import SyncVectorEnv


def vector_of(envs: Sequence[Any]) -> SyncVectorEnv[Any, Any]:
    """Makes environments the sub-environments of Gymnasium's own vector environment.

    Raises:
        InvalidEnvError: If there are none, one stands in the list twice, one is no single
            environment, or their spaces differ.
        UnsupportedSpaceError: If one of their spaces cannot be carried.
    """
    from gymnasium.vector import SyncVectorEnv

    if not envs:
        raise InvalidEnvError("env must be an environment or a list of them, got an empty list")
    if len({id(env) for env in envs}) != len(envs):
        raise InvalidEnvError(
            "a list of environments must hold a sub-environment's environment once, got one of "
            "them twice; "
            "make one for each sub-environment"
        )
    num_envs = iter(
        [
            single_env(env, f"sub-environment {index} of the list")[0]
            for index, env in enumerate(envs)
        ]
    )
    try:
        # Every observation is encoded before the next call, so the buffers need not be copied.
        return SyncVectorEnv([lambda: next(num_envs)] * len(envs), copy=False)
    except (AssertionError, RuntimeError) as error:  # Gymnasium before 1.4 asserts
        raise InvalidEnvError(
            f"the environments of a list must have equal spaces; where bounds differ, serve "
            f'gymnasium.vector.SyncVectorEnv(..., observation_mode="different"). Gymnasium says: '
            f"{error}"
        ) from error
