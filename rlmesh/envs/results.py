"""Reads what an environment returns from `reset` and `step`, beside the observation."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from rlmesh.codec.infos.foreign_arrays import foreign_array, read_array
from rlmesh.codec.infos.packable_types import kind_of
from rlmesh.codec.infos.type_guards import is_mapping, is_row

# Names that a type checker does not narrow by.
_plain_tuple: Any = tuple
_plain_dict: Any = dict
# Those that are real: no complex number, and no text.
_numbers: Any = (int, float, np.floating, np.integer, np.bool_)
_no_info: Mapping[str, Any] = MappingProxyType({})

_RESET = "reset() must return (observation, info)"
_STEP = "step() must return (observation, reward, terminated, truncated, info)"
# Gym's time limit set this key before `truncated` was a result.
_LEGACY_TRUNCATED = "TimeLimit.truncated"


class BadResultError(Exception):
    """The environment returned something that Gymnasium does not allow."""


def split_reset(returned: Any, *, tuple_space: bool) -> tuple[Any, Mapping[str, Any]]:
    """Observation and info of a reset.

    Args:
        returned: What `reset` returned: Gymnasium's pair, as a tuple or a list, with a dict or None
            in second place; or an observation alone as before Gym 0.26.
        tuple_space: Whether an observation is itself a tuple.

    Raises:
        BadResultError: If it is a tuple but no such pair, and an observation is no tuple.
    """
    alone: Any = returned
    # An observation of a tuple space may itself be two things with a dict in second place.
    if is_row(returned) and len(returned) == 2 and (not tuple_space or is_row(returned[0])):
        observation: Any = returned[0]
        info: Any = returned[1]
        if info is None:
            return observation, {}
        if is_mapping(info):
            return observation, info
    if isinstance(returned, tuple) and not tuple_space:
        raise BadResultError(f"{_RESET}, got {_outline(returned)}")
    return alone, {}


def split_step(
    returned: Any, num_envs: int | None = None
) -> tuple[Any, Any, Any, Any, Mapping[str, Any]]:
    """Observation, reward, terminated, truncated and info of a step.

    Args:
        returned: What `step` returned: a tuple or list of Gymnasium's five, or of the four of Gym
            before 0.26, whose `done` is truncated where the info says `TimeLimit.truncated`, else
            terminated. An info may be None.
        num_envs: The number of sub-environments of a vector environment; None for a single one.

    Raises:
        BadResultError: If it is none of these.
    """
    # What nearly every environment gives.
    if type(returned) is _plain_tuple and len(returned) == 5 and type(returned[4]) is _plain_dict:
        result: tuple[Any, Any, Any, Any, Mapping[str, Any]] = returned
        return result
    if not is_row(returned) or len(returned) not in (4, 5):
        raise BadResultError(f"{_STEP}, got {_outline(returned)}")
    info: Any = returned[-1]
    if info is None:
        info = _no_info
    if not is_mapping(info):
        raise BadResultError(f"{_STEP} with a dict as info, got {type(info).__name__} as info")
    if len(returned) == 5:
        observation, reward, terminated, truncated, _ = returned
        return observation, reward, terminated, truncated, info
    observation, reward, done, _ = returned
    cut = info.get(_LEGACY_TRUNCATED, False)
    if num_envs is None:
        done, cut = flag_of(done, "done"), bool(cut)
        return observation, reward, done and not cut, done and cut, info
    done, cut = (
        flags_of(done, num_envs, "dones"),
        np.broadcast_to(np.asarray(cut, np.bool_), num_envs),
    )
    return observation, reward, done & ~cut, done & cut, info


def reward_of(value: Any, name: str = "the reward") -> float:
    """A reward as float: any real scalar.

    Args:
        value: The reward.
        name: How messages name it.

    Raises:
        BadResultError: If it is none.
    """
    if type(value) is float:
        return value
    if isinstance(value, _numbers):
        with contextlib.suppress(OverflowError):
            return float(value)
    # A tensor knows its number, and warns where it requires a gradient: NumPy's number does not.
    kind: Any = kind_of(value)
    own = issubclass(kind, (np.ndarray, np.generic))
    array = None if own else foreign_array(value)
    number = value if array is None else array
    # A ragged list has no number of axes, and what has none may still be no number.
    with contextlib.suppress(TypeError, ValueError, OverflowError):
        real = not isinstance(number, (str, bytes)) and not np.iscomplexobj(number)
        if real and np.ndim(number) == 0:
            return float(number)
    # What NumPy cannot read may know its number all the same.
    if hasattr(kind, "__array__") and not own:
        with contextlib.suppress(Exception):
            return float(value)
    raise BadResultError(f"{name} must be a real number, got {_show(value)}")


def flag_of(value: Any, name: str) -> bool:
    """A flag as bool: a bool of Python, NumPy or another array library, or 0 or 1.

    A value of any other type that has a truth of its own, as `if` asks for it, is that truth.

    Raises:
        BadResultError: If it is none.
    """
    if value is True or value is False:
        return value
    own = isinstance(value, (int, float, np.generic, np.ndarray))
    array = np.asarray(value) if own else foreign_array(value)
    if array is not None:
        if np.ndim(array) == 0 and array in (0, 1):
            return bool(array)
    elif value is not None and hasattr(kind_of(value), "__bool__"):
        # A tensor on a graphics card is no array of NumPy, and knows whether it is true.
        with contextlib.suppress(Exception):
            return bool(value)
    raise BadResultError(f"{name} must be a bool, got {_show(value)}")


def rewards_of(values: Any, num_envs: int) -> npt.NDArray[np.float64]:
    """The rewards of all sub-environments as float64, shape `(num_envs,)`.

    Raises:
        BadResultError: If they are not that many real numbers.
    """
    array = _array(values, num_envs, "the rewards")
    if array.dtype.kind == "O":
        array = np.array([reward_of(value, "each of the rewards") for value in array], np.float64)
    if array.dtype.kind not in "fiub":
        raise BadResultError(f"the rewards must be real numbers, got dtype {array.dtype}")
    return array.astype(np.float64, copy=False)


def flags_of(values: Any, num_envs: int, name: str) -> npt.NDArray[np.bool_]:
    """The flags of all sub-environments as bool, shape `(num_envs,)`.

    Raises:
        BadResultError: If they are not that many bools, zeros or ones.
    """
    array = _array(values, num_envs, name)
    if array.dtype.kind == "O":
        array = np.array([flag_of(value, name) for value in array], np.bool_)
    if array.dtype.kind == "b":
        return array
    if array.dtype.kind in "iuf" and bool(((array == 0) | (array == 1)).all()):
        return array.astype(np.bool_)
    raise BadResultError(f"{name} must be {num_envs} bools, got {_show(values)}")


def _array(values: Any, num_envs: int, name: str) -> npt.NDArray[Any]:
    try:
        # An array of NumPy is read already; nearly every vector environment gives one.
        array = values if type(values) is np.ndarray else read_array(values)
    except Exception as error:
        if isinstance(error, ValueError) or not is_row(values):
            raise BadResultError(
                f"{name} must be {num_envs} numbers, got {_show(values)}"
            ) from error
        array = np.empty(len(values), np.object_)
        for index, value in enumerate(values):
            array[index] = value
    if array.shape != (num_envs,):
        raise BadResultError(f"{name} must have the shape ({num_envs},), got {array.shape}")
    return array


def _outline(returned: Any) -> str:
    if is_row(returned):
        names = ", ".join(type(part).__name__ for part in returned)
        return f"a {type(returned).__name__} of {len(returned)}: ({names})"
    return type(returned).__name__


def _show(value: Any) -> str:
    try:
        return f"{type(value).__name__} {value!r:.80}"
    except Exception:  # noqa: BLE001 - a broken __repr__ must not hide what is wrong
        return type(value).__name__
