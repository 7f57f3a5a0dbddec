"""Spaces of other packages that are carried as one of the seven, without loss.

A space that is none of Gymnasium's is read by the conversion that is registered for its class, or
for the nearest of its base classes. The conversion of MiniGrid's and BabyAI's missions is here from
the start.
"""

from __future__ import annotations

import inspect
import itertools
import math
import threading
from collections.abc import Callable
from typing import Any, TypeAlias, cast

from rlmesh.errors import ArgumentTypeError, InvalidArgumentError
from rlmesh.spaces.text import Text
from rlmesh_api.contract import Space

__all__ = ["CONVERSIONS", "SpaceConversion", "conversion_for", "full_name", "register_conversion"]

SpaceConversion: TypeAlias = Callable[[Any], Any]
"""Makes one of the seven spaces, RLMesh's or Gymnasium's, of another package's space."""

CONVERSIONS = "rlmesh.conversions"
"""The key of a contract's metadata that names the spaces which were converted."""

_MISSION_SPACE = "minigrid.core.mission.MissionSpace"
# The missions of a space that has more are not all made to find the longest.
_MOST_MISSIONS = 4096
# The longest mission, in characters, where they are not all known.
_LONGEST_MISSION = 4096

_lock = threading.Lock()
# By the full name of a class. `_lock` guards it.
_registered: dict[str, SpaceConversion] = {}


def register_conversion(space_type: type | str, convert: SpaceConversion) -> None:
    """Has a space of another package carried as one of the seven spaces.

    It holds for this process: a worker process that makes an environment of its own registers it
    too, as the module does that defines the environment. The contract names what was converted, in
    its metadata under `rlmesh.conversions`. Values stay as the environment made them: one that the
    new space does not hold is refused, as ever.

    Example:
        >>> import rlmesh
        >>> class Percent:
        ...     pass
        >>> rlmesh.spaces.register_conversion(Percent, lambda space: rlmesh.spaces.Discrete(101))
        >>> rlmesh.spaces.from_gymnasium_space(Percent())
        Discrete(101)

    Args:
        space_type: The class of the space, or its full name, `package.module.Class`, which saves
            importing the package. Its subclasses count too, unless one has its own conversion. One
            that was registered before is replaced.
        convert: Is given the space, and returns a space of `rlmesh.spaces` or `gymnasium.spaces`
            that holds every value of the given one, or raises an `UnsupportedSpaceError`.

    Raises:
        ArgumentTypeError: If `space_type` is neither a class nor a text, or `convert` cannot be
            called.
        InvalidArgumentError: If the name names no module, or the class is one of Gymnasium's or
            RLMesh's own spaces, which are carried as they are or not at all.
    """
    if not callable(convert):
        raise ArgumentTypeError(
            f"convert must be a function that takes a space, got {type(convert).__name__}"
        )
    own = False
    if not isinstance(space_type, str):
        if not inspect.isclass(space_type):
            raise ArgumentTypeError(
                f"space_type must be a class or its full name, got an object of type "
                f"{cast('object', space_type).__class__.__name__}"
            )
        own = issubclass(space_type, Space)
        space_type = full_name(space_type)
    if not all(part.isidentifier() for part in space_type.replace(".<locals>", "").split(".")) or (
        "." not in space_type
    ):
        raise InvalidArgumentError(
            f"space_type must be the full name of a class, such as 'package.module.Class', got "
            f"{space_type!r:.80}"
        )
    if own or space_type.startswith(("gymnasium.spaces.", "rlmesh_api.")):
        raise InvalidArgumentError(
            f"{space_type} is one of the spaces that are carried as they are, or refused; register "
            f"a conversion for a class of your own that derives from it"
        )
    with _lock:
        _registered[space_type] = convert


def conversion_for(kind: type) -> SpaceConversion | None:
    """The conversion of a class or else of its nearest base class; None if there is none."""
    with _lock:
        found = (_registered.get(full_name(cls)) for cls in kind.__mro__)
        return next((convert for convert in found if convert is not None), None)


def full_name(kind: type) -> str:
    """The full name of a class: `package.module.Class`."""
    return f"{kind.__module__}.{kind.__qualname__}"


def _mission(space: Any) -> Space:
    """MiniGrid's MissionSpace as a text of the lengths of its missions.

    BabyAI's own derives from it, makes its missions elsewhere, and admits them all.
    """
    placeholders: list[list[str]] = space.ordered_placeholders or []
    kind: type = cast("object", space).__class__
    definer = next(cls for cls in kind.__mro__ if full_name(cls) == _MISSION_SPACE)
    if (
        inspect.getattr_static(kind, "contains") is not vars(definer)["contains"]
        or math.prod(map(len, placeholders)) > _MOST_MISSIONS
    ):
        return Text(_LONGEST_MISSION, min_length=0)
    lengths = [len(space.mission_func(*words)) for words in itertools.product(*placeholders)]
    return Text(max(lengths), min_length=min(lengths))


register_conversion(_MISSION_SPACE, _mission)
