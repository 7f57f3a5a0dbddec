"""Infos of vector environments in the form that Gymnasium gives them, with their masks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from rlmesh.codec.infos.type_guards import is_array, is_mapping, is_number

__all__ = ["add_info", "add_sub_env", "mark_sub_env", "unmasked"]


def add_info(
    target: dict[str, Any], info: Mapping[str, Any], env_index: int, num_envs: int
) -> None:
    """Adds the info of a single environment to infos, as Gymnasium's vector environments do.

    Args:
        target: The infos to add to.
        info: What the sub-environment gave.
        env_index: Which sub-environment of `target`.
        num_envs: How many sub-environments `target` has.
    """
    for key, value in info.items():
        if is_mapping(value) and key != "final_obs":
            add_info(target.setdefault(key, {}), value, env_index, num_envs)
        else:
            if key not in target:
                target[key] = _room_for(key, value, num_envs)
            target[key][env_index] = value
        mark_sub_env(target, key, env_index, num_envs)


def _room_for(key: str, value: Any, num_envs: int) -> npt.NDArray[Any]:
    if key != "final_obs":
        if type(value) in (int, float, bool) or is_number(value):
            return np.zeros(num_envs, np.asarray(value).dtype)
        if is_array(value):
            return np.zeros((num_envs, *value.shape), value.dtype)
    return np.full(num_envs, None, object)


def add_sub_env(
    target: dict[str, Any],
    source: Mapping[str, Any],
    env_index: int,
    num_envs: int,
    source_index: int,
) -> None:
    """Adds one sub-environment's part of infos to others, as Gymnasium adds an environment's info.

    Args:
        target: The infos to add to.
        source: The infos that it is taken from.
        env_index: Which sub-environment of `target`.
        num_envs: How many sub-environments `target` has.
        source_index: Which sub-environment of `source`.
    """
    for key, value in source.items():
        mask = _mask_of(source, key)
        if mask is None or not mask[source_index]:
            continue
        if is_mapping(value):
            add_sub_env(target.setdefault(key, {}), value, env_index, num_envs, source_index)
        else:
            _put(target, key, value, env_index, num_envs, source_index)
        mark_sub_env(target, key, env_index, num_envs)


def mark_sub_env(infos: dict[str, Any], key: str, env_index: int, num_envs: int) -> None:
    """Says in a key's mask that a sub-environment has it."""
    infos.setdefault(f"_{key}", np.zeros(num_envs, np.bool_))[env_index] = True


def unmasked(infos: Mapping[str, Any]) -> dict[str, Any]:
    """The entries without a mask: those that belong to no single sub-environment."""
    masked = [key for key in infos if _mask_of(infos, key) is not None]
    of_sub_envs = {*masked, *(f"_{key}" for key in masked)}
    return {key: value for key, value in infos.items() if key not in of_sub_envs}


def _put(
    target: dict[str, Any],
    key: str,
    values: npt.NDArray[Any],
    env_index: int,
    num_envs: int,
    source_index: int,
) -> None:
    if key not in target:
        # An array of objects has None where a sub-environment has no value.
        alone = values.dtype == object and values.ndim == 1
        shape = (num_envs, *values.shape[1:])
        target[key] = np.full(num_envs, None) if alone else np.zeros(shape, values.dtype)
    try:
        target[key][env_index] = values[source_index]
    except (TypeError, ValueError):
        # The sub-environments have values of different kinds: an array of objects holds each.
        objects = np.full(num_envs, None)
        for place, value in enumerate(target[key]):
            objects[place] = value
        objects[env_index] = values[source_index]
        target[key] = objects


def _mask_of(infos: Mapping[str, Any], key: str) -> npt.NDArray[np.bool_] | None:
    """The mask of a key: which sub-environments have it; None where the key has no mask."""
    value, mask = infos[key], infos.get(f"_{key}")
    return mask if is_array(mask) and (is_array(value) or is_mapping(value)) else None
