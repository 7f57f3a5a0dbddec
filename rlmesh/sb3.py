"""Stable-Baselines3: a served environment as one of its vector environments.

Importing this module imports Stable-Baselines3.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from rlmesh.client.env import RemoteEnv
from rlmesh.client.vector_env import RemoteVectorEnv
from rlmesh.codec.infos.type_guards import is_array, is_mapping, is_row
from rlmesh.errors import ArgumentTypeError, InvalidArgumentError, WrongEndpointKindError
from rlmesh.package_versions import require_version

try:
    import stable_baselines3 as _sb3
    from stable_baselines3.common.vec_env import VecEnv as _VecEnv
except ImportError as _missing:
    raise ImportError(
        f"rlmesh.sb3 needs Stable-Baselines3 2.0 or newer ({_missing}); "
        f"pip install stable-baselines3"
    ) from _missing
require_version("rlmesh.sb3", "stable-baselines3", _sb3.__version__, "2.0")

__all__ = ["VecEnv"]

Indices: TypeAlias = int | Iterable[int] | None

# What changes no state of an environment, so that all may be asked for the sake of some.
_READING = frozenset({"action_masks", "compute_reward", "compute_terminated", "compute_truncated"})


class VecEnv(_VecEnv):
    """A served environment, single or vector, as a `VecEnv` of Stable-Baselines3.

    It gives what a `DummyVecEnv` of the same environments gives: rewards of float32, infos with
    `terminal_observation` and `TimeLimit.truncated`, the infos of resets in `reset_infos`.

    `env_method`, `get_attr` and `set_attr` reach what the server exposes, such as `action_masks`
    for MaskablePPO, `compute_reward` for hindsight replay. The wrappers of the environment are the
    server's: `env_is_wrapped` is False for all, so wrap the `VecEnv` in a `VecMonitor`.

    Example:
        >>> import gymnasium, rlmesh, rlmesh.sb3
        >>> from stable_baselines3 import PPO
        >>> with rlmesh.EnvServer([gymnasium.make("CartPole-v1") for _ in range(2)]) as server:
        ...     model = PPO("MlpPolicy", rlmesh.sb3.VecEnv(server.address), n_steps=64)
        ...     model = model.learn(256)
        ...     model.get_env().close()

    Args:
        address_or_client: The address of an environment, single or vector; a list of addresses,
            whose environments stand side by side; or a client, which it closes at its end.
        **options: The other arguments of `rlmesh.RemoteVectorEnv`, where it makes the client.

    Raises:
        InvalidArgumentError: If the sub-environments of a given client do not reset themselves at
            the step that ends an episode, or `copy` is false.
        ArgumentTypeError: If there are options beside a client, or it is none of those above.
        RlmeshError: What `rlmesh.RemoteVectorEnv` raises.
    """

    def __init__(
        self,
        address_or_client: str | Sequence[str] | RemoteEnv[Any, Any] | RemoteVectorEnv[Any, Any],
        **options: Any,
    ) -> None:
        self._single: RemoteEnv[Any, Any] | None = None
        if isinstance(address_or_client, (RemoteEnv, RemoteVectorEnv)):
            if options:
                raise ArgumentTypeError(
                    f"the client is connected already, so it takes no options, got "
                    f"{', '.join(sorted(options))}; give them to {type(address_or_client).__name__}"
                )
            self._envs = self._vector_of(address_or_client)
        else:
            self._envs = _connected(address_or_client, options)
        self._actions: Any = None
        spaces: Any = self._envs
        try:
            super().__init__(
                self._envs.num_envs, spaces.single_observation_space, spaces.single_action_space
            )
        except BaseException:
            self._envs.close()
            raise
        self.metadata: dict[str, Any] = dict(self._envs.metadata)
        self.metadata.pop("autoreset_mode", None)

    def _vector_of(
        self, client: RemoteEnv[Any, Any] | RemoteVectorEnv[Any, Any]
    ) -> RemoteVectorEnv[Any, Any] | SyncVectorEnv[Any, Any]:
        if isinstance(client, RemoteEnv):
            self._single = client
            return SyncVectorEnv([lambda: client], autoreset_mode=AutoresetMode.SAME_STEP)
        if client.autoreset_mode is not AutoresetMode.SAME_STEP:
            mode = client.autoreset_mode
            raise InvalidArgumentError(
                f"the sub-environments of a VecEnv reset themselves at the step that ends an "
                f"episode, got a client whose autoreset mode is "
                f"{'unknown' if mode is None else repr(mode.value)}; connect it with "
                f"autoreset='same_step', or give the address"
            )
        return client

    def reset(self) -> Any:
        """Resets every sub-environment, with the seeds and options that were set before.

        Returns:
            The observations.

        Raises:
            InvalidArgumentError: If the sub-environments have different options.
            RlmeshError: What `rlmesh.RemoteVectorEnv.reset` raises.
        """
        given = self._options[0]
        if any(options != given for options in self._options):
            raise InvalidArgumentError(
                f"all sub-environments get the same options, got {self._options!r:.200}"
            )
        seeds = None if all(seed is None for seed in self._seeds) else list(self._seeds)
        observations, infos = self._envs.reset(seed=seeds, options=dict(given) if given else None)
        self.reset_infos: list[dict[str, Any]] = [
            _info_of(infos, env_index) for env_index in range(self.num_envs)
        ]
        self._reset_seeds()
        self._reset_options()
        return observations

    def step_async(self, actions: npt.NDArray[Any]) -> None:
        """Has every sub-environment step; `step_wait` gives the results.

        Args:
            actions: One action for each sub-environment.

        Raises:
            RlmeshError: What `rlmesh.RemoteVectorEnv.step_async` raises.
        """
        if isinstance(self._envs, RemoteVectorEnv):
            self._envs.step_async(actions)
        else:
            self._actions = actions

    def step_wait(self) -> tuple[Any, npt.NDArray[np.float32], npt.NDArray[np.bool_], list[Any]]:
        """Waits for the results of `step_async`.

        Returns:
            Observations, rewards (float32, shape `(num_envs,)`), whether episodes ended (bool,
            shape `(num_envs,)`), and an info for each sub-environment.

        Raises:
            RlmeshError: What `rlmesh.RemoteVectorEnv.step_wait` raises.
        """
        if isinstance(self._envs, RemoteVectorEnv):
            stepped = self._envs.step_wait()
        else:
            stepped = self._envs.step(self._actions)
        observations, rewards, terminations, truncations, infos = stepped
        dones = terminations | truncations
        each: list[dict[str, Any]] = []
        for env_index in range(self.num_envs):
            info = _info_of(infos, env_index) if infos else {}
            truncated = bool(truncations[env_index] and not terminations[env_index])
            if dones[env_index]:
                last, ended = info.pop("final_obs"), info.pop("final_info", {})
                self.reset_infos[env_index] = info
                info = {**ended, "TimeLimit.truncated": truncated, "terminal_observation": last}
            else:
                info["TimeLimit.truncated"] = truncated
            each.append(info)
        return observations, rewards.astype(np.float32), dones, each

    def close(self) -> None:
        """Gives the environment back to its server, which goes on."""
        self._envs.close()

    def get_images(self) -> Sequence[npt.NDArray[Any] | None]:
        """The frame of each sub-environment; None where the render mode is not `rgb_array`.

        Raises:
            RlmeshError: What `rlmesh.RemoteVectorEnv.render` raises.
        """
        if self.render_mode != "rgb_array":
            warnings.warn(
                f"the environment was made with the render mode {self.render_mode!r}; images need "
                f"'rgb_array'",
                stacklevel=2,
            )
            return [None] * self.num_envs
        frames: Any = self._envs.render()
        return list(frames)

    def has_attr(self, attr_name: str) -> bool:
        """Whether the server exposes an attribute, or the client knows it.

        Args:
            attr_name: The attribute's name.

        Raises:
            RlmeshError: What a client raises that asks its server for an attribute.
        """
        if self._single is not None:
            return self._single.has_wrapper_attr(attr_name)
        return attr_name in self._exposed or bool(super().has_attr(attr_name))

    def get_attr(self, attr_name: str, indices: Indices = None) -> list[Any]:
        """Reads an attribute of sub-environments, if the server exposes it.

        Args:
            attr_name: The attribute's name.
            indices: Of which sub-environments; None: of all.

        Returns:
            Its values. For a method, functions that call it.

        Raises:
            RlmeshError: What `rlmesh.RemoteVectorEnv.get_attr` raises.
        """
        if self._single is not None:
            values: tuple[Any, ...] = (self._single.get_wrapper_attr(attr_name),)
        elif attr_name in _READING and attr_name in self._exposed:
            values = tuple(self._method(attr_name, index) for index in range(self.num_envs))
        else:
            values = self._envs.get_attr(attr_name)
        return [values[index] for index in self._chosen(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Indices = None) -> None:
        """Sets an attribute of sub-environments, if the server exposes it.

        Args:
            attr_name: The attribute's name.
            value: What to set it to, the same in each.
            indices: In which sub-environments; None: in all.

        Raises:
            RlmeshError: What `rlmesh.RemoteVectorEnv.set_attr` raises.
        """
        chosen = self._chosen(indices)
        if self._single is not None:
            self._single.set_wrapper_attr(attr_name, value)
            return
        if len(chosen) == self.num_envs:
            values = [value] * self.num_envs
        else:
            values = list(self._envs.get_attr(attr_name))
            for index in chosen:
                values[index] = value
        self._envs.set_attr(attr_name, values)

    def env_method(
        self, method_name: str, *method_args: Any, indices: Indices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Calls a method of sub-environments, if the server exposes it.

        Args:
            method_name: The method's name.
            *method_args: Positional arguments, of types that infos can hold.
            indices: Of which sub-environments; None: of all. Only what changes no state, such as
                `compute_reward` and `action_masks`, can be asked of some alone.
            **method_kwargs: Keyword arguments, likewise.

        Returns:
            What each returned.

        Raises:
            InvalidArgumentError: If some sub-environments are asked for something else.
            RlmeshError: What `rlmesh.RemoteVectorEnv.call` raises.
        """
        chosen = self._chosen(indices)
        if len(chosen) < self.num_envs and method_name not in _READING:
            raise InvalidArgumentError(
                f"{method_name} of the sub-environments {chosen} alone cannot be called: one call "
                f"reaches all {self.num_envs} of an endpoint; leave out indices="
            )
        if method_name == "render":
            frames: Any = self._envs.render()
            return [None] * self.num_envs if frames is None else list(frames)
        results = self._envs.call(method_name, *method_args, **method_kwargs)
        return [results[index] for index in chosen]

    def env_is_wrapped(
        self, wrapper_class: type[gymnasium.Wrapper[Any, Any, Any, Any]], indices: Indices = None
    ) -> list[bool]:
        """False for each: the environment's wrappers are the server's.

        Args:
            wrapper_class: The wrapper.
            indices: Of which sub-environments; None: of all.
        """
        return [False for _ in self._chosen(indices)]

    @property
    def _exposed(self) -> frozenset[str]:
        driver = vars(self._envs).get("_env_client")
        return frozenset() if driver is None else driver.exposed

    def _method(self, name: str, index: int) -> Callable[..., Any]:
        return functools.partial(_first, self.env_method, name, indices=[index])

    def _chosen(self, indices: Indices) -> list[int]:
        if indices is None:
            return list(range(self.num_envs))
        return [indices] if isinstance(indices, int) else list(indices)


def _first(method: Callable[..., list[Any]], *args: Any, **kwargs: Any) -> Any:
    return method(*args, **kwargs)[0]


def _connected(address: Any, options: dict[str, Any]) -> RemoteVectorEnv[Any, Any]:
    """A client whose sub-environments reset themselves at the step that ends an episode."""
    if not (isinstance(address, str) or is_row(address)):
        raise ArgumentTypeError(
            f"expected an address, a list of addresses, an rlmesh.RemoteEnv or an "
            f"rlmesh.RemoteVectorEnv, got {type(address).__name__}"
        )
    if not options.get("copy", True):
        raise InvalidArgumentError(
            "copy=False: a trainer keeps the observations of one step until the next; leave it out"
        )
    options = {"autoreset": "same_step", **options}
    try:
        return RemoteVectorEnv(address, **options)
    except WrongEndpointKindError:
        if not isinstance(address, str):
            raise
    # A single environment, as the only one of several endpoints.
    return RemoteVectorEnv([address], **options)


def _info_of(infos: Mapping[str, Any], env_index: int) -> dict[str, Any]:
    """The info of one sub-environment, out of the form that Gymnasium gives to those of all."""
    info: dict[str, Any] = {}
    for key, value in infos.items():
        mask = infos.get(f"_{key}")
        if is_array(mask):
            if mask[env_index]:
                info[key] = _info_of(value, env_index) if is_mapping(value) else value[env_index]
        elif not (key.startswith("_") and key[1:] in infos):
            info[key] = value
    return info
