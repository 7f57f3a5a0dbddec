"""A list of environments as the lanes of one vector environment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rlmesh.errors import InvalidEnvError

if TYPE_CHECKING:
    import gymnasium
    from gymnasium.vector import SyncVectorEnv


def vector_of(envs: Sequence[Any]) -> SyncVectorEnv[Any, Any]:
    """Makes environments the lanes of Gymnasium's own vector environment.

    Raises:
        InvalidEnvError: If there are none, one stands in the list twice, or their spaces differ.
    """
    from gymnasium.vector import SyncVectorEnv

    if not envs:
        raise InvalidEnvError("env must be an environment or a list of them, got an empty list")
    if len({id(env) for env in envs}) != len(envs):
        raise InvalidEnvError("a list of environments holds one of them twice; make one for a lane")
    lanes = [_gymnasium_env(env) for env in envs]
    try:
        # Every observation is encoded before the next call, so the buffers need not be copied.
        return SyncVectorEnv([lambda env=env: env for env in lanes], copy=False)
    except RuntimeError as error:
        raise InvalidEnvError(f"the lanes of a list must have equal spaces: {error}") from error


def _gymnasium_env(env: Any) -> gymnasium.Env[Any, Any]:
    import gymnasium

    if isinstance(env, gymnasium.Env):
        return env
    from rlmesh.contract import read_contract
    from rlmesh.spaces import to_gymnasium_space

    contract = read_contract(env)
    if contract.vector:
        raise InvalidEnvError("a lane of a list must be a single environment, got a vector one")

    class Shaped(gymnasium.Env[Any, Any]):
        """An object of an environment's shape, for code that asks for the class."""

        observation_space = to_gymnasium_space(contract.observation_space)
        action_space = to_gymnasium_space(contract.action_space)
        metadata = dict(contract.metadata)  # noqa: RUF012 - Gymnasium's attribute of the class
        render_mode = contract.render_mode

        def reset(self, *, seed: Any = None, options: Any = None) -> Any:
            return env.reset(seed=seed, options=options)

        def step(self, action: Any) -> Any:
            return env.step(action)

        def render(self) -> Any:
            return env.render()

        def close(self) -> None:
            env.close()

        def get_wrapper_attr(self, name: str) -> Any:
            return getattr(env, name)

        def set_wrapper_attr(self, name: str, value: Any, *, force: bool = True) -> bool:
            if not force and not hasattr(env, name):
                return False
            setattr(env, name, value)
            return True

    return Shaped()
