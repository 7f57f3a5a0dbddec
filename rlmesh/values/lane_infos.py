"""Infos of vector environments, lane by lane, in the form that Gymnasium gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from rlmesh.values.guards import is_array, is_mapping

__all__ = ["add_lane", "mark_lane", "unmasked"]


def add_lane(
    target: dict[str, Any], source: Mapping[str, Any], lane: int, num_envs: int, source_lane: int
) -> None:
    """Adds one lane's part of infos to others, as Gymnasium adds the info of an environment.

    Args:
        target: The infos to add to.
        source: The infos that it is taken from.
        lane: Which lane of `target`.
        num_envs: How many lanes `target` has.
        source_lane: Which lane of `source`.
    """
    for key, value in source.items():
        mask = _mask_of(source, key)
        if mask is None or not mask[source_lane]:
            continue
        if is_mapping(value):
            add_lane(target.setdefault(key, {}), value, lane, num_envs, source_lane)
        else:
            _put(target, key, value, lane, num_envs, source_lane)
        mark_lane(target, key, lane, num_envs)


def mark_lane(infos: dict[str, Any], key: str, lane: int, num_envs: int) -> None:
    """Says in a key's mask that a lane has it."""
    infos.setdefault(f"_{key}", np.zeros(num_envs, np.bool_))[lane] = True


def unmasked(infos: Mapping[str, Any]) -> dict[str, Any]:
    """What is not told lane by lane."""
    masked = [key for key in infos if _mask_of(infos, key) is not None]
    lanewise = {*masked, *(f"_{key}" for key in masked)}
    return {key: value for key, value in infos.items() if key not in lanewise}


def _put(
    target: dict[str, Any],
    key: str,
    values: npt.NDArray[Any],
    lane: int,
    num_envs: int,
    source_lane: int,
) -> None:
    if key not in target:
        # Objects that are no arrays stand by themselves, among Nones.
        alone = values.dtype == object and values.ndim == 1
        shape = (num_envs, *values.shape[1:])
        target[key] = np.full(num_envs, None) if alone else np.zeros(shape, values.dtype)
    try:
        target[key][lane] = values[source_lane]
    except (TypeError, ValueError):
        # Lanes that differ in what they tell: each value stands by itself.
        objects = np.full(num_envs, None)
        for place, value in enumerate(target[key]):
            objects[place] = value
        objects[lane] = values[source_lane]
        target[key] = objects


def _mask_of(infos: Mapping[str, Any], key: str) -> npt.NDArray[np.bool_] | None:
    """Which lanes have a key; None where it is not told lane by lane."""
    value, mask = infos[key], infos.get(f"_{key}")
    return mask if is_array(mask) and (is_array(value) or is_mapping(value)) else None
