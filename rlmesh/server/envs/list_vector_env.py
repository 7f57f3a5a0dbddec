"""A list of environments as the sub-environments of one vector environment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rlmesh.contract import read_contract
from rlmesh.errors import InvalidEnvError

if TYPE_CHECKING:
    import gymnasium
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
    num_envs = iter([_sub_env(env, index) for index, env in enumerate(envs)])
    try:
        # Every observation is encoded before the next call, so the buffers need not be copied.
        return SyncVectorEnv([lambda: next(num_envs)] * len(envs), copy=False)
    except (AssertionError, RuntimeError) as error:  # Gymnasium before 1.4 asserts
        raise InvalidEnvError(
            f"the environments of a list must have equal spaces; where bounds differ, serve "
            f'gymnasium.vector.SyncVectorEnv(..., observation_mode="different"). Gymnasium says: '
            f"{error}"
        ) from error


def _sub_env(env: Any, index: int) -> gymnasium.Env[Any, Any]:
    try:
        contract = read_contract(env)
    except InvalidEnvError as error:
        raise InvalidEnvError(f"sub-environment {index} of the list: {error}") from error
    if contract.vector:
        raise InvalidEnvError(
            f"sub-environment {index} of the list must be a single environment, got "
            f"{type(env).__name__}, a "
            f"vector environment with {contract.num_envs} sub-environments; serve that by itself"
        )
    import gymnasium

    from rlmesh.envs.duck_env import DuckEnv

    return env if issubclass(type(env), gymnasium.Env) else DuckEnv(env, contract)
