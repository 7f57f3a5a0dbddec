"""A single environment as a `gymnasium.Env`, for what steps several of them side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rlmesh.contract import EnvContract, read_contract
from rlmesh.errors import InvalidEnvError

if TYPE_CHECKING:
    import gymnasium


def single_env(env: Any, name: str) -> tuple[gymnasium.Env[Any, Any], EnvContract]:
    """The environment as a `gymnasium.Env`, and its contract.

    Args:
        env: The environment.
        name: How messages name it.

    Raises:
        InvalidEnvError: If it is no single environment.
        UnsupportedSpaceError: If one of its spaces cannot be carried.
    """
    try:
        contract = read_contract(env)
    except InvalidEnvError as error:
        raise InvalidEnvError(f"{name}: {error}") from error
    if contract.vector:
        raise InvalidEnvError(
            f"{name} must be a single environment, got {type(env).__name__}, a vector environment "
            f"with {contract.num_envs} sub-environments; serve that by itself"
        )
    import gymnasium

    from rlmesh.envs.duck_env import DuckEnv

    return env if issubclass(type(env), gymnasium.Env) else DuckEnv(env, contract), contract
