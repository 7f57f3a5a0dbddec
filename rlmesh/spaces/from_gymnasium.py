"""Gymnasium's spaces as RLMesh's, without loss; what cannot be kept is refused.

The spaces of Gym 0.21 to 0.26 are read as Gymnasium's of the same names. Those of other packages
are read by the conversions that are registered for them.
"""

from __future__ import annotations

import reprlib
import sys
from collections.abc import Callable, Mapping
from typing import Any, cast

from rlmesh.errors import InvalidArgumentError, UnsupportedSpaceError
from rlmesh.notes import add_note
from rlmesh.spaces.arrays import read_dtype
from rlmesh.spaces.box import Box
from rlmesh.spaces.containers import DEEPEST, Dict, Tuple
from rlmesh.spaces.conversions import conversion_for, full_name
from rlmesh.spaces.discrete import Discrete, MultiBinary, MultiDiscrete
from rlmesh.spaces.paths import ROOT, child_place
from rlmesh.spaces.text import Text
from rlmesh_api.contract import Space

__all__ = ["convert_space", "from_gymnasium_space"]

# Besides public names, what a subclass may not override without holding something else.
_MEANINGS = frozenset({"__contains__", "__eq__", "__getitem__", "__iter__", "__len__"})


def from_gymnasium_space(space: object) -> Space:
    """The RLMesh space that holds exactly what a Gymnasium space holds.

    Args:
        space: A Gymnasium space, one of an old Gym, or one whose class has a registered conversion;
            an RLMesh space is returned as it is.

    Raises:
        UnsupportedSpaceError: If RLMesh cannot carry it, or a space inside of it, without loss;
            the message names the space and its place, `$.arm[1]`.
    """
    return convert_space(space)[0]


def convert_space(space: object) -> tuple[Space, dict[str, str]]:
    """As `from_gymnasium_space`, with what was converted besides.

    Returns:
        The space, and the full names of the classes that are none of Gymnasium's, by place.

    Raises:
        UnsupportedSpaceError: As for `from_gymnasium_space`.
    """
    reader = _Reader()
    return reader.read(space, ROOT, 0), reader.converted


class _Reader:
    """Reads one tree of spaces.

    Attributes:
        converted: The full names of the classes that are none of Gymnasium's, by place.
    """

    def __init__(self) -> None:
        self.converted: dict[str, str] = {}

    def read(self, space: Any, place: str, depth: int, *, registered: bool = True) -> Space:
        """Reads the space at a place.

        Args:
            space: The space.
            place: Its place, for messages.
            depth: In how many spaces it stands.
            registered: Whether registered conversions count.
        """
        if isinstance(space, Space):
            return space
        kind: type = cast("object", space).__class__
        conversion = conversion_for(kind) if registered else None
        if conversion is not None:
            self.converted[place] = full_name(kind)
            try:
                made = conversion(space)
            except (InvalidArgumentError, UnsupportedSpaceError) as error:
                raise UnsupportedSpaceError(f"{place}: {error}") from error
            except Exception as error:
                add_note(error, f"in the conversion registered for {place}, {kind.__name__}")
                raise
            return self.read(made, place, depth, registered=False)
        root, name = _base_of(space, place)
        if root is not _gymnasium_spaces():
            self.converted[place] = full_name(kind)
        try:
            return _CONVERTERS[name](self, space, place, depth)
        except InvalidArgumentError as error:
            raise UnsupportedSpaceError(f"{place}: {error}") from error


def _gymnasium_spaces() -> Any:
    from gymnasium import spaces  # RLMesh's own spaces do without Gymnasium

    return spaces


def _base_of(space: object, place: str) -> tuple[Any, str]:
    """The class whose values the space holds: the module, Gymnasium's or Gym's, and its name."""
    from rlmesh.spaces.any_text import AnyText

    kind = type(space)
    name = kind.__name__
    carried = f"RLMesh carries {', '.join(_CONVERTERS)}"
    # Gym is there where its spaces are; it is not imported for it.
    roots = [_gymnasium_spaces(), *filter(None, [sys.modules.get("gym.spaces")])]
    if not isinstance(space, tuple(root.Space for root in roots)):
        raise UnsupportedSpaceError(
            f"{place}: expected a Gymnasium or RLMesh space, got an object of type "
            f"{kind.__module__}.{name}; {carried}, and what rlmesh.spaces.register_conversion "
            f"converts to them"
        )
    own: set[str] = set()
    for cls in kind.__mro__:
        base = cls.__name__
        root = next((root for root in roots if cls is getattr(root, base, None)), None)
        if root is not None and base in _CONVERTERS:
            changed = [attribute for attribute in sorted(own) if hasattr(cls, attribute)]
            if changed:
                raise UnsupportedSpaceError(
                    f"{place}: {name} is a {base} with its own {', '.join(changed)}, which cannot "
                    f"be kept; replace it by a plain gymnasium.spaces.{base}, or say with "
                    f"rlmesh.spaces.register_conversion what it is carried as"
                )
            return root, base
        if cls is not AnyText:
            own |= {key for key in vars(cls) if key in _MEANINGS or not key.startswith("_")}
    remedy = "express it in these, for instance with a wrapper"
    if kind not in {getattr(root, name, None) for root in roots}:
        remedy = "say with rlmesh.spaces.register_conversion which of these holds its values"
    raise UnsupportedSpaceError(f"{place}: {name} is not supported, {carried}; {remedy}")


def _box(reader: _Reader, space: Any, place: str, depth: int) -> Space:
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


def _discrete(reader: _Reader, space: Any, place: str, depth: int) -> Space:
    return Discrete(space.n, getattr(space, "start", 0), space.dtype)


def _multi_binary(reader: _Reader, space: Any, place: str, depth: int) -> Space:
    return MultiBinary(space.n)


def _multi_discrete(reader: _Reader, space: Any, place: str, depth: int) -> Space:
    return MultiDiscrete(space.nvec, space.dtype, getattr(space, "start", None))


def _text(reader: _Reader, space: Any, place: str, depth: int) -> Space:
    from gymnasium.spaces import Text as GymnasiumText

    # Gymnasium cannot tell whether the default was given or left out, but its order tells it
    # from a text of the same characters.
    default = GymnasiumText(1).character_list
    charset = None if space.character_list == default else space.character_list
    return Text(space.max_length, min_length=space.min_length, charset=charset)


def _tuple(reader: _Reader, space: Any, place: str, depth: int) -> Space:
    _check_depth(place, depth)
    return Tuple(
        reader.read(child, child_place(place, index), depth + 1)
        for index, child in enumerate(space.spaces)
    )


def _dict(reader: _Reader, space: Any, place: str, depth: int) -> Space:
    _check_depth(place, depth)
    pairs: list[tuple[str, Space]] = []
    for key, child in space.spaces.items():
        if not isinstance(key, str):
            raise InvalidArgumentError(
                f"Dict key must be a str, got {reprlib.repr(key)} of type {type(key).__name__}"
            )
        pairs.append((key, reader.read(child, child_place(place, key), depth + 1)))
    # Releases of Gymnasium before 1.4 know no `sort_keys`.
    return Dict(pairs, keep_order=not getattr(space, "sort_keys", True))


def _check_depth(place: str, depth: int) -> None:
    # From the top: a space that contains itself has no bottom.
    if depth >= DEEPEST:
        raise InvalidArgumentError(f"spaces may stand in each other {DEEPEST} deep; flatten some")


_CONVERTERS: Mapping[str, Callable[[_Reader, Any, str, int], Space]] = {
    "Box": _box,
    "Discrete": _discrete,
    "MultiBinary": _multi_binary,
    "MultiDiscrete": _multi_discrete,
    "Text": _text,
    "Tuple": _tuple,
    "Dict": _dict,
}
