"""An environment as an evaluation drives it: single or vector, local or served."""

from __future__ import annotations

import contextlib
import dataclasses
import numbers
import threading
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, cast

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import concatenate, create_empty_array, iterate

from rlmesh.client.env import RemoteEnv
from rlmesh.client.expected_contract import read_env
from rlmesh.client.vector_env import RemoteVectorEnv
from rlmesh.codec.infos.info_keys import ENV_REPLACED
from rlmesh.contract import EnvContract
from rlmesh.errors import ArgumentTypeError, InvalidArgumentError, UnsupportedSpaceError


class Step(NamedTuple):
    """What a step of one sub-environment gave.

    Attributes:
        observation: The observation.
        reward: The reward.
        terminated: Whether the episode is over by itself.
        truncated: Whether it was cut.
        info: The info.
        lost: Why the sub-environment was lost and replaced by another; None: it was not.
    """

    observation: Any
    reward: float
    terminated: bool
    truncated: bool
    info: Mapping[str, Any]
    lost: str | None = None


class World(Protocol):
    """One or several sub-environments that one thread drives.

    Attributes:
        num_envs: How many there are.
        contract: The contract of the environment; None: RLMesh has none for such spaces.
        step_seconds: How long a step lasts in the world, in seconds, as `metadata["render_fps"]`
            says; None: it does not say.
        render_mode: How it renders; None: it does not.
    """

    num_envs: int
    contract: EnvContract | None
    step_seconds: float | None
    render_mode: str | None

    def reset(self, seeds: Mapping[int, int]) -> dict[int, Any]:
        """Begins episodes in some sub-environments.

        Args:
            seeds: The seed of each of them, by its index.

        Returns:
            Their first observations.
        """
        ...

    def step(self, actions: Mapping[int, Any]) -> dict[int, Step]:
        """Steps the sub-environments that have an action; the others do not matter.

        Args:
            actions: The action of each of them, by its index; one at least.
        """
        ...

    def render(self) -> Sequence[Any]:
        """What each sub-environment renders, by its index."""
        ...

    def close(self) -> None:
        """Closes the environment."""
        ...


class SingleWorld:
    """A single environment; see `World`."""

    def __init__(self, env: Any) -> None:
        self._env = env
        self.num_envs: int = 1
        self.contract: EnvContract | None = _contract_of(env)
        self.step_seconds: float | None = _step_seconds(env)
        self.render_mode: str | None = getattr(env, "render_mode", None)

    def reset(self, seeds: Mapping[int, int]) -> dict[int, Any]:
        """Resets the environment; see `World`."""
        observation, _ = self._env.reset(seed=seeds[0])
        return {0: observation}

    def step(self, actions: Mapping[int, Any]) -> dict[int, Step]:
        """Steps the environment; see `World`."""
        observation, reward, terminated, truncated, info = self._env.step(actions[0])
        return {0: Step(observation, float(reward), bool(terminated), bool(truncated), info)}

    def render(self) -> Sequence[Any]:
        """What the environment renders; see `World`."""
        with _rendering(self._env):
            return [self._env.render()]

    def close(self) -> None:
        """Closes the environment."""
        self._env.close()


class VectorWorld:
    """A vector environment with autoreset disabled; see `World`.

    A sub-environment without an episode is stepped along with the others, and nothing of that is
    counted. Beside an episode that runs alone all others do the same as it: an error is its own.

    Raises:
        InvalidArgumentError: If its sub-environments reset themselves.
    """

    def __init__(self, env: Any) -> None:
        mode = env.metadata.get("autoreset_mode")
        if mode is not AutoresetMode.DISABLED:
            raise InvalidArgumentError(
                f"a vector environment must leave its resets to the evaluation, so that each seed "
                f"is run once; the autoreset mode of {type(env).__name__} is "
                f"{getattr(mode, 'value', mode)}. Make it with autoreset disabled: "
                f'RemoteVectorEnv(address, autoreset="disabled"), or '
                f'gymnasium.make_vec(id, vector_kwargs={{"autoreset_mode": '
                f"AutoresetMode.DISABLED}})"
            )
        self._env = env
        self.num_envs: int = env.num_envs
        self.contract: EnvContract | None = _contract_of(env)
        self.step_seconds: float | None = _step_seconds(env)
        self.render_mode: str | None = getattr(env, "render_mode", None)
        # Which sub-environments must be reset before they are stepped.
        self._over = np.ones(self.num_envs, bool)

    def reset(self, seeds: Mapping[int, int]) -> dict[int, Any]:
        """Resets these sub-environments, and those whose episode is over; see `World`."""
        mask = self._over.copy()
        mask[list(seeds)] = True
        # Where this raises, nothing is known of any of them.
        self._over[:] = True
        other = next(iter(seeds.values()), None)
        observations, _ = self._env.reset(
            seed=[seeds.get(index, other) for index in range(self.num_envs)],
            options={"reset_mask": mask},
        )
        self._over[:] = False
        parts = list(iterate(self._env.observation_space, observations))
        return {index: parts[index] for index in seeds}

    def step(self, actions: Mapping[int, Any]) -> dict[int, Step]:
        """Steps all sub-environments; see `World`."""
        if self._over.any():
            self.reset({})
        # Any valid action does for those without an episode.
        other = next(iter(actions.values()))
        space = self._env.single_action_space
        each = [actions.get(index, other) for index in range(self.num_envs)]
        # None, as the annotation has it, is no batch of any space.
        batch: Any = create_empty_array(space, self.num_envs)
        batch = concatenate(space, each, batch)
        self._over[:] = True
        observations, rewards, terminated, truncated, infos = self._env.step(batch)
        self._over = np.logical_or(terminated, truncated)
        parts = list(iterate(self._env.observation_space, observations))
        found: dict[int, Step] = {}
        for index in actions:
            info = sub_info(infos, index)
            lost = info.get(ENV_REPLACED)
            found[index] = Step(
                parts[index],
                float(rewards[index]),
                bool(terminated[index]),
                bool(truncated[index]),
                info,
                None if lost is None else str(lost),
            )
        return found

    def render(self) -> Sequence[Any]:
        """What the sub-environments render; see `World`."""
        with _rendering(self._env):
            rendered: Any = self._env.render()
        return [None] * self.num_envs if rendered is None else list(rendered)

    def close(self) -> None:
        """Closes the environment."""
        self._env.close()


# Pygame, which many environments render with, is for one thread at a time.
_one_renders = threading.Lock()


def _rendering(env: Any) -> contextlib.AbstractContextManager[object]:
    """Keeps the other environments of this process from rendering meanwhile."""
    served = isinstance(getattr(env, "unwrapped", env), RemoteEnv | RemoteVectorEnv)
    return contextlib.nullcontext() if served else _one_renders


def world_of(env: Any) -> World:
    """What drives an environment.

    Args:
        env: A single or a vector environment of Gymnasium, or a client of one.

    Raises:
        ArgumentTypeError: If it is none of these.
        InvalidArgumentError: If it is a vector environment that resets itself.
    """
    if isinstance(env, gymnasium.vector.VectorEnv):
        return VectorWorld(env)
    if not is_env(env):
        raise ArgumentTypeError(
            f"an environment has reset and step, of one agent, as Gymnasium has them; got "
            f"{type(env).__name__} {env!r:.80}"
        )
    return SingleWorld(env)


def is_env(value: Any) -> bool:
    """Whether it is an environment, and not what makes one, nor one of many agents."""
    return (
        not isinstance(value, type)
        and callable(getattr(value, "reset", None))
        and callable(getattr(value, "step", None))
        and not hasattr(value, "possible_agents")
    )


def sub_info(infos: Mapping[str, Any], index: int) -> dict[str, Any]:
    """The info of one sub-environment, from those of a vector environment.

    Args:
        infos: As Gymnasium's vector environments have them: each value batched, and under
            `_name` a mask of the sub-environments that have it.
        index: Which sub-environment.
    """
    found: dict[str, Any] = {}
    for key, values in infos.items():
        mask = infos.get(f"_{key}")
        if key.startswith("_") or (mask is not None and not mask[index]):
            continue
        if isinstance(values, Mapping):
            found[key] = sub_info(cast("Mapping[str, Any]", values), index)
        elif isinstance(values, np.ndarray | list | tuple):
            batch = cast("Sequence[Any]", values)
            if index < len(batch):
                found[key] = batch[index]
    return found


def _contract_of(env: Any) -> EnvContract | None:
    try:
        contract = read_env(env)
    except (ArgumentTypeError, UnsupportedSpaceError):
        # It can be evaluated all the same: a contract is what can be served.
        return None
    return contract


def one_of(contract: EnvContract) -> EnvContract:
    """The contract of one sub-environment, which does not depend on how many there are."""
    return dataclasses.replace(
        contract,
        vector=False,
        num_envs=1,
        autoreset_mode=None,
        batched_observation_space=None,
        batched_action_space=None,
    )


def _step_seconds(env: Any) -> float | None:
    metadata: object = getattr(env, "metadata", None)
    if not isinstance(metadata, Mapping):
        return None
    rate = cast("Mapping[str, object]", metadata).get("render_fps")
    if isinstance(rate, bool) or not isinstance(rate, numbers.Real) or rate <= 0:
        return None
    return 1.0 / float(rate)
