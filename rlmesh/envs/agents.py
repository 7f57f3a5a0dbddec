"""An environment of many agents as a single one, whose values are those of all agents together."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import numpy as np

from rlmesh.codec.infos.type_guards import is_mapping, is_row
from rlmesh.contract import EnvContract, read_contract
from rlmesh.contract.joint import (
    ACTIONS,
    GIVEN,
    OBSERVATIONS,
    ORDER,
    RESULTS,
    REWARDS,
    TERMINATIONS,
    TRUNCATIONS,
    any_member,
    joint_action_space,
    joint_observation_space,
    ordered,
    places,
)
from rlmesh.envs.gym_compat import compile_render, compile_reset
from rlmesh.envs.results import BadResultError, flag_of, reward_of
from rlmesh.errors import InvalidEnvError, UnsupportedSpaceError
from rlmesh.spaces import Dict, Space
from rlmesh.spaces.conversions import CONVERSIONS
from rlmesh.spaces.from_gymnasium import convert_space
from rlmesh.spaces.paths import ROOT, child_place
from rlmesh_api.contract import Agents

_STEP = "step() must return (observations, rewards, terminations, truncations, infos)"
_RESET = "reset() must return (observations, infos)"


def joint_env(env: Any) -> JointEnv | None:
    """The environment of many agents as a single one; None for every other environment.

    Args:
        env: The environment. One whose agents act in turns (PettingZoo's `AECEnv`) is converted by
            PettingZoo itself.

    Raises:
        InvalidEnvError: If it cannot be served.
        UnsupportedSpaceError: If a space of an agent cannot be carried.
    """
    if inspect.isclass(env) or not callable(getattr(env, "observation_space", None)):
        return None
    if callable(getattr(env, "agent_iter", None)):
        env = _in_parallel(env)
    return JointEnv(env)


def read_joint_contract(env: JointEnv, *, delivers_nan: bool = False) -> EnvContract:
    """The contract of an environment of many agents.

    Args:
        env: The environment.
        delivers_nan: Whether its server delivers NaN.

    Raises:
        InvalidEnvError: If it has not the form of an environment.
        UnsupportedSpaceError: If its values are too large for a message.
    """
    contract = read_contract(env, delivers_nan=delivers_nan)
    name = env.metadata.get("name")
    return dataclasses.replace(
        contract,
        id=name if isinstance(name, str) and name else contract.id,
        agents=Agents(names=tuple(env.names)),
    )


class JointEnv:
    """Drives a `pettingzoo.ParallelEnv`, or an object of that shape, as a single environment.

    Args:
        env: The environment.

    Attributes:
        parallel_env: As given.
        names: All agents that there can be, in their order.

    Raises:
        InvalidEnvError: If it has not the form of such an environment.
        UnsupportedSpaceError: If a space of an agent cannot be carried.
    """

    def __init__(self, env: Any) -> None:
        self.parallel_env = env
        self.names: list[str] = _names(env)
        self._index: dict[str, int] = {name: index for index, name in enumerate(self.names)}
        self._reset = compile_reset(env)
        self._render = compile_render(env)
        converted: dict[str, str] = {}
        observed, acted = (
            {name: _space(env, method, name, converted) for name in self.names}
            for method in ("observation_space", "action_space")
        )
        self.observation_space: Dict = joint_observation_space(observed)
        self.action_space: Dict = joint_action_space(acted)
        self.metadata: dict[str, Any] = dict(getattr(env, "metadata", None) or {})
        if converted:
            self.metadata[CONVERSIONS] = converted
        self.render_mode: str | None = getattr(env, "render_mode", None)
        self._missing = {name: any_member(space) for name, space in observed.items()}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Resets the environment; returns the joint observation, and the info of each agent.

        Raises:
            BadResultError: If it returns something else than a `ParallelEnv` does.
        """
        returned = self._reset(seed, options)
        if not is_row(returned) or len(returned) != 2:
            raise BadResultError(f"{_RESET}, got {type(returned).__name__}")
        observations, infos = returned
        return self._joint(_RESET, observations, {}, {}, {}), self._infos(_RESET, infos)

    def step(
        self, action: dict[str, Any]
    ) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Steps the environment with the actions of the agents that have a place in the order.

        Raises:
            BadResultError: If it returns something else than a `ParallelEnv` does.
        """
        actions = action[ACTIONS]
        acting = ordered(action[ORDER], self.names)
        returned = self.parallel_env.step({name: actions[name] for name in acting})
        if not is_row(returned) or len(returned) != 5:
            raise BadResultError(f"{_STEP}, got {type(returned).__name__}")
        *results, infos = returned
        joint = self._joint(_STEP, *results)
        return joint, 0.0, not joint[ORDER].any(), False, self._infos(_STEP, infos)

    def render(self) -> Any:
        """Renders the environment."""
        return self._render()

    def close(self) -> None:
        """Closes the environment."""
        self.parallel_env.close()

    def get_wrapper_attr(self, name: str) -> Any:
        """Reads an attribute of the environment."""
        return getattr(self.parallel_env, name)

    def set_wrapper_attr(self, name: str, value: Any, *, force: bool = True) -> bool:
        """Sets an attribute of the environment."""
        if not (force or hasattr(self.parallel_env, name)):
            return False
        setattr(self.parallel_env, name, value)
        return True

    def _joint(
        self, form: str, observations: Any, rewards: Any, terminations: Any, truncations: Any
    ) -> dict[str, Any]:
        """The joint observation of what the environment returned."""
        count = len(self.names)
        given = np.zeros((count, len(RESULTS)), np.int8)
        results = (observations, rewards, terminations, truncations)
        for column, (name, result) in enumerate(zip(RESULTS, results, strict=True)):
            self._check_agents(form, name, result)
            for agent in result:
                given[self._index[agent], column] = 1
        numbers = np.zeros(count, np.float64)
        for agent, reward in rewards.items():
            numbers[self._index[agent]] = reward_of(reward, f"the reward of {agent}")
        flags: dict[str, Any] = {}
        for name, result in ((TERMINATIONS, terminations), (TRUNCATIONS, truncations)):
            flags[name] = np.zeros(count, np.int8)
            for agent, flag in result.items():
                flags[name][self._index[agent]] = flag_of(flag, f"{name} of {agent}")
        return {
            OBSERVATIONS: {**self._missing, **observations},
            REWARDS: numbers,
            **flags,
            GIVEN: given,
            ORDER: self._order(),
        }

    def _order(self) -> Any:
        agents: Any = getattr(self.parallel_env, "agents", None)
        try:
            order = places(agents, self._index)
        except (KeyError, TypeError) as error:
            raise BadResultError(
                f"the attribute agents must be a list of some of {', '.join(self.names)}, got "
                f"{agents!r:.80}"
            ) from error
        return order

    def _check_agents(self, form: str, name: str, result: Any) -> None:
        if not is_mapping(result):
            raise BadResultError(f"{form}, each a dict, got {type(result).__name__} as {name}")
        unknown = [agent for agent in result if agent not in self._index]
        if unknown:
            raise BadResultError(
                f"{name} must be those of the agents {', '.join(self.names)}, got one of "
                f"{unknown[0]!r:.80}"
            )

    def _infos(self, form: str, infos: Any) -> dict[str, Any]:
        if not is_mapping(infos):
            raise BadResultError(f"{form}, each a dict, got {type(infos).__name__} as infos")
        return dict(infos)


def _in_parallel(env: Any) -> Any:
    # Its environment comes from that package.
    from pettingzoo.utils.conversions import (  # pyright: ignore[reportMissingTypeStubs] # it has none
        aec_to_parallel,
    )

    try:
        return aec_to_parallel(env)
    except AssertionError as error:
        raise InvalidEnvError(
            f"the agents of {type(env).__name__} act in turns, and PettingZoo cannot convert it to "
            f"an environment whose agents act together: {error}"
        ) from error


def _names(env: Any) -> list[str]:
    names: Any = getattr(env, "possible_agents", None)
    if not is_row(names) or not names:
        raise InvalidEnvError(
            f"an environment of many agents must have possible_agents, a list of one or more "
            f"names, got {type(env).__name__} with {names!r:.80}"
        )
    for name in names:
        if not isinstance(name, str):
            raise InvalidEnvError(
                f"the name of an agent must be a str, got {name!r:.80} of type "
                f"{type(name).__name__} in possible_agents of {type(env).__name__}"
            )
    if len(set(names)) != len(names):
        raise InvalidEnvError(
            f"possible_agents of {type(env).__name__} must hold each name once, got {names!r:.80}"
        )
    for method in ("reset", "step", "close", "action_space"):
        if not callable(getattr(env, method, None)):
            raise InvalidEnvError(
                f"an environment of many agents must have the methods of pettingzoo.ParallelEnv, "
                f"got {type(env).__name__} without {method}()"
            )
    return list(names)


def _space(env: Any, method: str, agent: str, converted: dict[str, str]) -> Space:
    """The space of an agent; notes which parts of it were converted."""
    place = child_place(f"{method}s", agent)
    try:
        space, noted = convert_space(getattr(env, method)(agent))
    except UnsupportedSpaceError as error:
        raise UnsupportedSpaceError(
            f"the {method.replace('_', ' ')} of {agent!r}: {error}"
        ) from error
    converted |= {f"{place}{part.removeprefix(ROOT)}": kind for part, kind in noted.items()}
    return space
