"""Contracts to compare, and everything that can be changed in one."""

from __future__ import annotations

import copy
from typing import Any

from rlmesh.spaces import Discrete, from_gymnasium_space
from rlmesh_api.contract import AutoresetMode, EnvContract, EnvSpec, ModelContract
from support.sample_spaces import SAMPLE_SPACES

COIN = Discrete(2)


def a_contract(**changes: Any) -> EnvContract:
    fields: dict[str, Any] = {"id": "E-v0", "num_envs": 1}
    fields |= {"observation_space": COIN, "action_space": COIN}
    return EnvContract(**(fields | changes))


def fully_set() -> EnvContract:
    return EnvContract(
        id="E-v0",
        vector=True,
        observation_space=from_gymnasium_space(SAMPLE_SPACES["dict_of_all"]),
        action_space=from_gymnasium_space(SAMPLE_SPACES["box_array_bounds"]),
        num_envs=3,
        autoreset_mode=AutoresetMode.SAME_STEP,
        render_mode="rgb_array",
        metadata={"b": 1, "a": {"$x": (1.5, b"\0")}, "big": 2**70},
        spec=EnvSpec(id="E-v0", reward_threshold=1.5, max_episode_steps=9, kwargs={"a": None}),
        batched_observation_space=COIN,
        delivers_nan=True,
    )


def a_model_contract(**changes: Any) -> ModelContract:
    fields: dict[str, Any] = {"id": "M-v0", "horizon": 1}
    fields |= {"observation_space": COIN, "action_space": COIN}
    return ModelContract(**(fields | changes))


def full_model_contract() -> ModelContract:
    return ModelContract(
        id="M-v0",
        observation_space=from_gymnasium_space(SAMPLE_SPACES["dict_of_all"]),
        action_space=from_gymnasium_space(SAMPLE_SPACES["box_array_bounds"]),
        horizon=16,
        keeps_state=True,
        max_batch_size=32,
        metadata={"b": 1, "a": {"$x": (1.5, b"\0")}, "big": 2**70},
    )


def leaf_places(data: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where the leaves of JSON data stand, and its empty containers."""
    if not isinstance(data, dict | list) or not data:
        return [place]
    items = data.items() if isinstance(data, dict) else enumerate(data)
    return [leaf for key, item in items for leaf in leaf_places(item, (*place, key))]


def changed(value: Any) -> list[Any]:
    """Other values for a leaf, of which some may not be allowed there."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int | float):
        return [value + 1, value - 1, value * 2, value / 2, 0, 1]
    if isinstance(value, str):
        return [f"{value}x", "Infinity", "-Infinity", "int8", "float64", "disabled", "a"]
    return [True, 7, "x", [True], [1.0], {"a": 1}, {"kind": "discrete", "n": 5, "dtype": "int8"}]


def at(data: Any, place: tuple[Any, ...], value: Any) -> Any:
    new = copy.deepcopy(data)
    inner = new
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return new


def variations(contract: EnvContract) -> tuple[set[str], list[EnvContract]]:
    """The contracts that differ in one leaf, and the names of the fields that some differ in."""
    data, found, fields = contract.to_dict(), list[EnvContract](), set[str]()
    for place in leaf_places(data):
        value = data
        for key in place:
            value = value[key]
        for other in changed(value):
            try:
                variation = EnvContract.from_dict(at(data, place, other))
            except ValueError:
                continue
            if variation != contract:
                found.append(variation)
                fields.update(key for key in place if isinstance(key, str))
    return fields, found
