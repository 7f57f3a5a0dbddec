"""Vector environments of other packages, in the form that Gymnasium gives them.

Stable-Baselines3's `VecEnv` and EnvPool's environments are recognised by what they have; neither
package is imported. Other objects are served as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from rlmesh.codec.infos.type_guards import is_mapping, is_row
from rlmesh.codec.vector.infos import add_info
from rlmesh.contract import is_vector
from rlmesh.errors import InvalidEnvError
from rlmesh.server.envs.list_vector_env import vector_of

# What a VecEnv of Stable-Baselines3 says in the info of a sub-environment whose episode has ended.
_TRUNCATED, _LAST = "TimeLimit.truncated", "terminal_observation"


def served_form(env: Any) -> Any:
    """What a server calls in the place of what a user gave it.

    Args:
        env: An environment, or a list of them.

    Raises:
        InvalidEnvError: If the list is no vector environment, or EnvPool's environment steps some
            of its sub-environments only.
        UnsupportedSpaceError: If a space of the list cannot be carried.
    """
    if is_row(env):
        return vector_of(env)
    config = getattr(env, "config", None)
    # First: newer ones of EnvPool are vector environments of Gymnasium but for their spaces.
    if is_mapping(config) and "batch_size" in config and _can(env, "send", "recv"):
        return EnvPoolVector(env, config)
    if is_vector(env):
        return env
    if hasattr(env, "num_envs") and _can(env, "step_async", "step_wait", "env_method"):
        return StableBaselinesVector(env)
    return env


class StableBaselinesVector:
    """A VecEnv of Stable-Baselines3 as a vector environment of Gymnasium.

    Its sub-environments reset themselves at the step that ends an episode.

    Args:
        env: The VecEnv.

    Attributes:
        original: As given.
    """

    def __init__(self, env: Any) -> None:
        self.original = env
        self.num_envs: int = env.num_envs
        self.single_observation_space: Any = env.observation_space
        self.single_action_space: Any = env.action_space
        self.render_mode: str | None = getattr(env, "render_mode", None)
        self.metadata: dict[str, Any] = {
            **(getattr(env, "metadata", None) or {}),
            "autoreset_mode": "same_step",
        }

    @property
    def spec(self) -> Any:
        """The spec of the first sub-environment; None where it has none."""
        try:
            return self.original.get_attr("spec", indices=[0])[0]
        except AttributeError:
            return None

    def reset(
        self, *, seed: Any = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Resets every sub-environment; without a seed they go on with their generators."""
        env = self.original
        if is_row(seed):
            # Of the list that it keeps, for seeds that do not follow each other.
            env.seed(0)[:] = seed
        elif seed is not None:
            env.seed(int(seed))
        if options:
            env.set_options(options)
        observations = env.reset()
        return observations, self._together(self._reset_infos())

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Steps every sub-environment."""
        observations, rewards, dones, infos = self.original.step(actions)
        truncations = np.zeros(self.num_envs, np.bool_)
        told: list[Mapping[str, Any]] = []
        for env_index, done in enumerate(dones):
            info = {
                key: value
                for key, value in infos[env_index].items()
                if key not in (_TRUNCATED, _LAST)
            }
            if done:
                truncations[env_index] = bool(infos[env_index].get(_TRUNCATED, False))
                info = {
                    **self._reset_infos()[env_index],
                    "final_obs": infos[env_index][_LAST],
                    "final_info": info,
                }
            told.append(info)
        terminations = np.asarray(dones, np.bool_) & ~truncations
        return observations, rewards, terminations, truncations, self._together(told)

    def render(self) -> Any:
        """The frames of the sub-environments, where they are arrays; else what it renders."""
        if self.render_mode == "rgb_array":
            return tuple(self.original.get_images())
        return self.original.render()

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Calls a method of every sub-environment."""
        return tuple(self.original.env_method(name, *args, **kwargs))

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """Reads an attribute of every sub-environment."""
        return tuple(self.original.get_attr(name))

    def set_attr(self, name: str, values: Any) -> None:
        """Sets an attribute of every sub-environment.

        Raises:
            ValueError: If a list or tuple has not one value for each.
        """
        each = list(values) if is_row(values) else [values] * self.num_envs
        if len(each) != self.num_envs:
            raise ValueError(
                f"{name}: expected {self.num_envs} values, one for each sub-environment, got "
                f"{len(each)}"
            )
        for env_index, value in enumerate(each):
            self.original.set_attr(name, value, indices=[env_index])

    def close(self) -> None:
        """Closes the VecEnv."""
        self.original.close()

    def _reset_infos(self) -> list[dict[str, Any]]:
        # A wrapper has a list too, which nothing fills.
        infos: list[dict[str, Any]] = getattr(self.original, "unwrapped", self.original).reset_infos
        return infos

    def _together(self, infos: list[Any]) -> dict[str, Any]:
        together: dict[str, Any] = {}
        for env_index, info in enumerate(infos):
            add_info(together, info, env_index, self.num_envs)
        return together


class EnvPoolVector:
    """An environment of EnvPool, which declares the spaces of one of its sub-environments.

    Its sub-environments reset themselves at the step after the one that ended an episode. Their
    seeds are those that it was made with.

    Args:
        env: The environment, as `envpool.make_gymnasium` makes it.
        config: Its configuration.

    Attributes:
        original: As given.

    Raises:
        InvalidEnvError: If a step gives the results of some sub-environments only.
    """

    def __init__(self, env: Any, config: Mapping[str, Any]) -> None:
        self.original = env
        self.num_envs: int = config["num_envs"]
        if config["batch_size"] != self.num_envs:
            raise InvalidEnvError(
                f"env of EnvPool has batch_size={config['batch_size']} and "
                f"num_envs={self.num_envs}: each step gives the results of other sub-environments. "
                f"Make it without batch_size; EnvServer(..., num_envs=, workers=) serves such steps"
            )
        self.single_observation_space: Any = env.observation_space
        self.single_action_space: Any = env.action_space
        self.render_mode: str | None = getattr(env, "render_mode", None)
        self.metadata: dict[str, Any] = {
            **(getattr(env, "metadata", None) or {}),
            "autoreset_mode": "next_step",
        }

    def reset(self) -> Any:
        """Resets every sub-environment."""
        return self.original.reset()

    def step(self, actions: npt.NDArray[Any]) -> Any:
        """Steps every sub-environment."""
        return self.original.step(actions)

    def render(self) -> Any:
        """Renders as EnvPool does."""
        return self.original.render()

    def close(self) -> None:
        """Closes the environment."""
        self.original.close()


def _can(env: object, *names: str) -> bool:
    return all(callable(getattr(env, name, None)) for name in names)
