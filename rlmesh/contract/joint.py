"""The spaces of an environment of many agents: the values of all agents as one value.

`Agents` in the schema describes their entries.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rlmesh.spaces import Box, Dict, MultiBinary, Space
from rlmesh.spaces.arrays import expand
from rlmesh_api.contract import (
    BoxSpace,
    DictSpace,
    DiscreteSpace,
    EnvContract,
    MultiBinarySpace,
    MultiDiscreteSpace,
    TextSpace,
    TupleSpace,
)

__all__ = [
    "ACTIONS",
    "GIVEN",
    "OBSERVATIONS",
    "ORDER",
    "RESULTS",
    "REWARDS",
    "TERMINATIONS",
    "TRUNCATIONS",
    "any_member",
    "joint_action_space",
    "joint_observation_space",
    "members",
    "ordered",
    "places",
    "why_not_joint",
]

OBSERVATIONS = "observations"
REWARDS = "rewards"
TERMINATIONS = "terminations"
TRUNCATIONS = "truncations"
GIVEN = "given"
ORDER = "order"
ACTIONS = "actions"

RESULTS = (OBSERVATIONS, REWARDS, TERMINATIONS, TRUNCATIONS)
"""What the columns of `given` stand for."""


def joint_observation_space(spaces: Mapping[str, Space]) -> Dict:
    """The space of what an environment returns for all agents.

    Args:
        spaces: The observation space of each agent, in their order.
    """
    count = len(spaces)
    return Dict(
        {
            OBSERVATIONS: Dict(spaces, keep_order=True),
            REWARDS: Box(-math.inf, math.inf, (count,), "float64"),
            TERMINATIONS: MultiBinary(count),
            TRUNCATIONS: MultiBinary(count),
            GIVEN: MultiBinary((count, len(RESULTS))),
            ORDER: _order(count),
        },
        keep_order=True,
    )


def joint_action_space(spaces: Mapping[str, Space]) -> Dict:
    """The space of the actions of all agents.

    Args:
        spaces: The action space of each agent, in their order.
    """
    return Dict(
        {ACTIONS: Dict(spaces, keep_order=True), ORDER: _order(len(spaces))}, keep_order=True
    )


def _order(count: int) -> Space:
    return Box(0, count, (count,), "int32")


def members(contract: EnvContract, name: str) -> dict[str, Space]:
    """The spaces of the agents, in their order.

    Args:
        contract: The contract of an environment of many agents.
        name: Which of them: `OBSERVATIONS` or `ACTIONS`.
    """
    space = contract.observation_space if name == OBSERVATIONS else contract.action_space
    return _entries(_entries(space).get(name))


def why_not_joint(contract: EnvContract) -> str | None:
    """Why the spaces of a contract are not those of its agents; None where they are."""
    if contract.agents is None:
        return None
    names = contract.agents.names
    if contract.vector or not names:
        return "$.agents: expected one or more names, of an environment that is no vector one"
    for name, make in ((OBSERVATIONS, joint_observation_space), (ACTIONS, joint_action_space)):
        spaces = members(contract, name)
        place = "observation_space" if name == OBSERVATIONS else "action_space"
        if tuple(spaces) != names or getattr(contract, place) != make(spaces):
            return f"$.{place}: expected the joint space of the {len(names)} agents"
    return None


def _entries(space: Space | None) -> dict[str, Space]:
    return {e.key: e.space for e in space.entries} if isinstance(space, DictSpace) else {}


def places(agents: Iterable[str], index_of: Mapping[str, int]) -> npt.NDArray[np.int32]:
    """The place of each agent in a list of some of them, from 1; 0 for one that is not in it.

    Args:
        agents: Some of the agents, in any order.
        index_of: The index of each among all.

    Raises:
        KeyError: If there is no such agent.
    """
    found = np.zeros(len(index_of), np.int32)
    for place, agent in enumerate(agents, 1):
        found[index_of[agent]] = place
    return found


def ordered(order: npt.NDArray[np.int32], agents: Sequence[str]) -> list[str]:
    """The agents that have a place, in the order of their places.

    Args:
        order: The place of each agent, from 1; 0 for one without.
        agents: All agents.
    """
    found = [(place, agent) for place, agent in zip(order.tolist(), agents, strict=True) if place]
    return [agent for _, agent in sorted(found, key=lambda each: each[0])]


def any_member(space: Space) -> Any:
    """A value of a space, always the same, to stand where no value was given.

    Args:
        space: The space.
    """
    match space:
        case BoxSpace(dtype=dtype, shape=shape):
            bounds = (expand(each, shape, dtype.value) for each in (space.low, space.high))
            return np.clip(np.zeros(shape, dtype.value), *bounds).astype(dtype.value)
        case DiscreteSpace():
            return np.dtype(space.dtype.value).type(space.start)
        case MultiDiscreteSpace():
            return expand(space.start, space.shape, space.dtype.value)
        case MultiBinarySpace():
            return np.zeros(space.shape, np.int8)
        case TextSpace():
            return (space.charset or "0")[:1] * space.min_length
        case TupleSpace():
            return tuple(map(any_member, space.spaces))
        case _:
            return {key: any_member(child) for key, child in _entries(space).items()}
