"""Contracts to compare, and everything that can be changed in one."""

from __future__ import annotations

import copy
from typing import Any

from rlmesh import adapters as ad
from rlmesh.spaces import Discrete, from_gymnasium_space
from rlmesh_api.contract import Adaptation, AutoresetMode, EnvContract, EnvSpec, ModelContract
from support.sample_spaces import SAMPLE_SPACES

COIN = Discrete(2)

# One step of each kind, with values that no field has by itself.
EVERY_STEP = (
    ad.rename({"a": "b", "c": ""}, at=("x", 1), on="action"),
    ad.select(["a", "b"]),
    ad.extract("a", at="x"),
    ad.wrap("a"),
    ad.concatenate(["a", "b"], "c", axis=-2),
    ad.split({"a": 1, "b": 2}, "c", axis=-2),
    ad.stack(["a", "b"], "c", axis=-3),
    ad.text("{a} and {{b}}", "c", lower=True),
    ad.take([3, 0]),
    ad.reshape((2, 3)),
    ad.cast("float16"),
    ad.scale([0.5, -1 / 3], float("1e-300")),
    ad.normalize([0.1, 0.2], 3.0, epsilon=1e-6, inverse=True),
    ad.normalize_quantiles(-1.0, [1.0, 2.0], epsilon=1e-6, inverse=True),
    ad.rotation("quaternion_xyzw", "six_columns"),
    ad.gripper(open=(1, -1), closed=(0, 1), indices=[6], threshold=0.5, on="action"),
    ad.clip(float("-inf"), 1.0),
    ad.resize(224, 225, method="lanczos", fit="pad", fill=0.5, layout="chw"),
    ad.crop(2, 3, top=4, left=5),
    ad.pad(top=1, bottom=2, left=3, right=4, value=5.5),
    ad.channel_order("hwc", "chw"),
    ad.color("bgr", "gray"),
)


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
        takes_prefix=True,
        takes_delay=True,
        metadata={"b": 1, "a": {"$x": (1.5, b"\0")}, "big": 2**70},
        adaptation=Adaptation(steps=EVERY_STEP),
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
