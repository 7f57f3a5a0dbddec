"""An object of an environment's shape as a `gymnasium.Env`, for code that asks for the class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium

from rlmesh.contract import EnvContract
from rlmesh.envs.gym_compat import compile_render, compile_reset
from rlmesh.envs.results import split_reset, split_step
from rlmesh.spaces import to_gymnasium_space


class DuckEnv(gymnasium.Env[Any, Any]):
    """Gymnasium's view of an environment that is no `gymnasium.Env`, an old Gym's included.

    Args:
        env: The object.
        contract: Its contract.
    """

    def __init__(self, env: Any, contract: EnvContract) -> None:
        self._env = env
        self._reset = compile_reset(env)
        self._render = compile_render(env)
        self._tuple_space = contract.observation_space.kind == "tuple"
        self.observation_space: gymnasium.Space[Any] = to_gymnasium_space(
            contract.observation_space
        )
        self.action_space: gymnasium.Space[Any] = to_gymnasium_space(contract.action_space)
        self.metadata: dict[str, Any] = dict(contract.metadata)
        self.render_mode: str | None = contract.render_mode

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Resets the object."""
        observation, info = split_reset(self._reset(seed, options), tuple_space=self._tuple_space)
        return observation, _as_dict(info)

    def step(self, action: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Steps the object."""
        observation, reward, terminated, truncated, info = split_step(self._env.step(action))
        return observation, reward, terminated, truncated, _as_dict(info)

    def render(self) -> Any:
        """Renders the object."""
        return self._render()

    def close(self) -> None:
        """Closes the object."""
        self._env.close()

    def get_wrapper_attr(self, name: str) -> Any:
        """Reads an attribute of the object."""
        return getattr(self._env, name)

    def set_wrapper_attr(self, name: str, value: Any, *, force: bool = True) -> bool:
        """Sets an attribute of the object."""
        if not (force or hasattr(self._env, name)):
            return False
        setattr(self._env, name, value)
        return True


def _as_dict(info: Mapping[str, Any]) -> dict[str, Any]:
    return info if isinstance(info, dict) else dict(info)
