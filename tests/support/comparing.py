"""Equality as a training run sees it: types, dtypes, shapes, order of keys and every bit."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


def assert_same(actual: Any, expected: Any, place: str = "$") -> None:
    """Fails, naming the place, unless both are the same down to the bit; NaN equals itself.

    Args:
        actual: What the test got.
        expected: What it should have got.
        place: Where in a larger value the two stand.
    """
    __tracebackhide__ = True
    told = difference(actual, expected, place)
    assert told is None, told


def difference(actual: Any, expected: Any, place: str = "$") -> str | None:
    """The first difference between two values, or None."""
    if type(actual) is not type(expected):
        return f"{place}: got {_outline(actual)}, expected {_outline(expected)}"
    if isinstance(expected, np.ndarray):
        return _array_difference(actual, expected, place)
    if isinstance(expected, np.generic):
        return _array_difference(np.asarray(actual), np.asarray(expected), place)
    if isinstance(expected, Mapping):
        return _mapping_difference(actual, expected, place)
    if isinstance(expected, Sequence) and not isinstance(expected, (str, bytes)):
        return _sequence_difference(actual, expected, place)
    if isinstance(expected, float):
        same = struct.pack("<d", actual) == struct.pack("<d", expected)
    else:
        same = bool(actual == expected)
    return None if same else f"{place}: got {_outline(actual)}, expected {_outline(expected)}"


def as_declared(space: gymnasium.Space[Any], value: Any) -> Any:
    """A value as its space declares it, which is what a client gets of it.

    Environments return a plain int for a `Discrete`, for instance; the space says `numpy.int64`.
    """
    match space:
        case spaces.Discrete():
            element = np.dtype(space.dtype).type(value)
            assert element == value, f"{value!r} is no {space.dtype}"
            return element
        case spaces.Text():
            return value
        case spaces.Tuple():
            assert len(value) == len(space.spaces)
            return tuple(
                as_declared(child, part) for child, part in zip(space.spaces, value, strict=True)
            )
        case spaces.Dict():
            assert value.keys() == space.spaces.keys()
            return {key: as_declared(child, value[key]) for key, child in space.spaces.items()}
        case _:
            array = np.array(value, dtype=space.dtype)
            assert array.shape == space.shape, f"{array.shape} is not the shape of {space}"
            return array


class Declared(gymnasium.Wrapper[Any, Any, Any, Any]):
    """A local environment whose results have the types that a client gets.

    Observations are as the space declares them, rewards float, flags bool; infos stay.
    """

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        observation, info = self.env.reset(seed=seed, options=options)
        return as_declared(self.observation_space, observation), info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        return (
            as_declared(self.observation_space, observation),
            float(reward),
            bool(terminated),
            bool(truncated),
            info,
        )


def _array_difference(actual: Any, expected: Any, place: str) -> str | None:
    if actual.dtype != expected.dtype or actual.shape != expected.shape:
        return f"{place}: got {_outline(actual)}, expected {_outline(expected)}"
    if expected.dtype.hasobject:
        for index in np.ndindex(expected.shape):
            told = difference(actual[index], expected[index], f"{place}{list(index)}")
            if told is not None:
                return told
        return None
    if actual.tobytes() == expected.tobytes():
        return None
    return f"{place}: got {actual!r}, expected {expected!r}"


def _mapping_difference(actual: Any, expected: Any, place: str) -> str | None:
    if list(actual) != list(expected):
        return f"{place}: got the keys {list(actual)}, expected {list(expected)}"
    return _first(
        difference(actual[key], value, f"{place}.{key}") for key, value in expected.items()
    )


def _sequence_difference(actual: Any, expected: Any, place: str) -> str | None:
    if len(actual) != len(expected):
        return f"{place}: got {len(actual)} elements, expected {len(expected)}"
    return _first(
        difference(got, wanted, f"{place}[{index}]")
        for index, (got, wanted) in enumerate(zip(actual, expected, strict=True))
    )


def _first(told: Any) -> str | None:
    return next((line for line in told if line is not None), None)


def _outline(value: Any) -> str:
    name = type(value).__name__
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype} with shape {value.shape}"
    return f"{name} {value!r:.200}"
