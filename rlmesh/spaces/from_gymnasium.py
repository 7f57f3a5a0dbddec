"""Gymnasium's spaces as RLMesh's, without loss; what cannot be kept is refused."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping
from typing import Any

from rlmesh.errors import InvalidArgumentError, UnsupportedSpaceError
from rlmesh.spaces.arrays import read_dtype
from rlmesh.spaces.box import Box
from rlmesh.spaces.containers import DEEPEST, Dict, Tuple
from rlmesh.spaces.discrete import Discrete, MultiBinary, MultiDiscrete
from rlmesh.spaces.paths import ROOT, child_place
from rlmesh.spaces.text import Text
from rlmesh_api.contract import Space

__all__ = ["from_gymnasium_space"]

# Besides public names, what a subclass may not override without holding something else.
_MEANINGS = frozenset({"__contains__", "__eq__", "__getitem__", "__iter__", "__len__"})


def from_gymnasium_space(space: object) -> Space:
    """The RLMesh space that holds exactly what a Gymnasium space holds.

    Args:
        space: A Gymnasium space; an RLMesh space is returned as it is.

    Raises:
        UnsupportedSpaceError: If RLMesh cannot carry it, or a space inside of it, without loss;
            the message names the space and its place, `$.arm[1]`.
    """
    if isinstance(space, Space):
        return space
    return _convert(space, ROOT, 0)


def _convert(space: Any, place: str, depth: int) -> Space:
    convert = _CONVERTERS[_base_name(space, place)]
    try:
        return convert(space, place, depth)
    except InvalidArgumentError as error:
        raise UnsupportedSpaceError(f"{place}: {error}") from error


def _base_name(space: object, place: str) -> str:
    """The name of the Gymnasium class whose values the space holds."""
    from gymnasium import spaces as gymnasium_spaces  # RLMesh's own spaces do without Gymnasium

    from rlmesh.spaces.any_text import AnyText

    kind = type(space)
    name = kind.__name__
    carried = f"RLMesh carries {', '.join(_CONVERTERS)}"
    if not isinstance(space, gymnasium_spaces.Space):
        raise UnsupportedSpaceError(
            f"{place}: expected a Gymnasium or RLMesh space, got an object of type "
            f"{kind.__module__}.{name}; {carried}"
        )
    own: set[str] = set()
    for cls in kind.__mro__:
        base = cls.__name__
        if base in _CONVERTERS and cls is getattr(gymnasium_spaces, base):
            changed = [attribute for attribute in sorted(own) if hasattr(cls, attribute)]
            if changed:
                raise UnsupportedSpaceError(
                    f"{place}: {name} is a {base} with its own {', '.join(changed)}, which cannot "
                    f"be kept; replace it by a plain gymnasium.spaces.{base}"
                )
            return base
        if cls is not AnyText:
            own |= {key for key in vars(cls) if key in _MEANINGS or not key.startswith("_")}
    raise UnsupportedSpaceError(
        f"{place}: {name} is not supported, {carried}; express it in these, for instance with a "
        f"wrapper"
    )


def _box(space: Any, place: str, depth: int) -> Space:
    read_dtype("Box", space.dtype)
    for name in ("low", "high", "bounded_below", "bounded_above"):
        array = getattr(space, name)
        if array.shape != space.shape:
            raise InvalidArgumentError(
                f"Box {name} must have the shape of its space, {space.shape}, got {array.shape}"
            )
        if not name.startswith("bounded") and array.dtype != space.dtype:
            raise InvalidArgumentError(
                f"Box {name} must have the dtype of its space, {space.dtype}, got {array.dtype}"
            )
    return Box.from_arrays(space.low, space.high, space.bounded_below, space.bounded_above)


def _discrete(space: Any, place: str, depth: int) -> Space:
    return Discrete(space.n, space.start, space.dtype)


def _multi_binary(space: Any, place: str, depth: int) -> Space:
    return MultiBinary(space.n)


def _multi_discrete(space: Any, place: str, depth: int) -> Space:
    return MultiDiscrete(space.nvec, space.dtype, space.start)


def _text(space: Any, place: str, depth: int) -> Space:
    from gymnasium.spaces import Text as GymnasiumText

    # Gymnasium cannot tell whether the default was given or left out, but its order tells it
    # from a text of the same characters.
    default = GymnasiumText(1).character_list
    charset = None if space.character_list == default else space.character_list
    return Text(space.max_length, min_length=space.min_length, charset=charset)


def _tuple(space: Any, place: str, depth: int) -> Space:
    _check_depth(place, depth)
    return Tuple(
        _convert(child, child_place(place, index), depth + 1)
        for index, child in enumerate(space.spaces)
    )


def _dict(space: Any, place: str, depth: int) -> Space:
    _check_depth(place, depth)
    pairs: list[tuple[str, Space]] = []
    for key, child in space.spaces.items():
        if not isinstance(key, str):
            raise InvalidArgumentError(
                f"Dict key must be a str, got {reprlib.repr(key)} of type {type(key).__name__}"
            )
        pairs.append((key, _convert(child, child_place(place, key), depth + 1)))
    # Releases of Gymnasium before 1.4 know no `sort_keys`.
    return Dict(pairs, keep_order=not getattr(space, "sort_keys", True))


def _check_depth(place: str, depth: int) -> None:
    # From the top: a space that contains itself has no bottom.
    if depth >= DEEPEST:
        raise InvalidArgumentError(f"spaces may stand in each other {DEEPEST} deep; flatten some")


_CONVERTERS: Mapping[str, Callable[[Any, str, int], Space]] = {
    "Box": _box,
    "Discrete": _discrete,
    "MultiBinary": _multi_binary,
    "MultiDiscrete": _multi_discrete,
    "Text": _text,
    "Tuple": _tuple,
    "Dict": _dict,
}
