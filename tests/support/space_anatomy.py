"""All that tells one Gymnasium space from another, beyond what its `==` compares."""

from __future__ import annotations

from typing import Any

import gymnasium
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Text, Tuple


def anatomy(space: gymnasium.Space[Any]) -> object:
    """What a space is made of, as plain data: equal data means that nothing tells them apart.

    The bits of bounds, the types of counts, bounded flags, the order of keys and of charsets, and
    `sort_keys` are part of it; the random state is not.
    """
    whole = (space.shape, str(space.dtype))
    if isinstance(space, Box):
        flags = (space.bounded_below.tolist(), space.bounded_above.tolist())
        return ("Box", *whole, _array(space.low), _array(space.high), flags)
    if isinstance(space, Discrete):
        return ("Discrete", *whole, _scalar(space.n), _scalar(space.start))
    if isinstance(space, MultiBinary):
        return ("MultiBinary", *whole, _scalar(space.n))
    if isinstance(space, MultiDiscrete):
        return ("MultiDiscrete", *whole, _array(space.nvec), _array(space.start))
    if isinstance(space, Text):
        return ("Text", *whole, space.min_length, space.max_length, space.character_list)
    if isinstance(space, Tuple):
        return ("Tuple", *whole, [anatomy(child) for child in space.spaces])
    if isinstance(space, Dict):
        children = [(key, anatomy(child)) for key, child in space.spaces.items()]
        return ("Dict", *whole, children, getattr(space, "sort_keys", True))
    raise AssertionError(f"no space of a catalogue: {space}")


def _array(array: Any) -> tuple[object, ...]:
    return (str(array.dtype), array.shape, array.tobytes())


def _scalar(value: object) -> tuple[str, object]:
    return (type(value).__name__, value)
