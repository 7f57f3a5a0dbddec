"""RLMesh's spaces as Gymnasium's, without loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rlmesh.errors import UnsupportedSpaceError
from rlmesh.spaces.arrays import expand
from rlmesh_api.contract import (
    BoxSpace,
    DictSpace,
    DiscreteSpace,
    MultiBinarySpace,
    MultiDiscreteSpace,
    Space,
    TextSpace,
    TupleSpace,
)

if TYPE_CHECKING:
    import gymnasium

__all__ = ["to_gymnasium_space"]


def to_gymnasium_space(space: Space) -> gymnasium.Space[Any]:
    """The Gymnasium space that holds, samples and derives exactly as an RLMesh space says.

    Args:
        space: A space of `rlmesh.spaces`.

    Raises:
        UnsupportedSpaceError: If it is no RLMesh space.
        InvalidArgumentError: If its bounds are not as many as its elements.
    """
    from gymnasium import spaces  # RLMesh's own spaces do without Gymnasium

    match space:
        case BoxSpace():
            return _box(space)
        case DiscreteSpace():
            return spaces.Discrete(int(space.n), start=int(space.start), dtype=space.dtype.value)
        case MultiBinarySpace():
            return spaces.MultiBinary(space.shape[0] if space.flat else space.shape)
        case MultiDiscreteSpace():
            dtype = space.dtype.value
            nvec = expand(space.nvec, space.shape, dtype)
            return spaces.MultiDiscrete(
                nvec, dtype=dtype, start=expand(space.start, space.shape, dtype)
            )
        case TextSpace():
            return _text(space)
        case TupleSpace():
            return spaces.Tuple([to_gymnasium_space(child) for child in space.spaces])
        case DictSpace():
            return _dict(space)
        case _:
            raise UnsupportedSpaceError(
                f"expected an RLMesh space, got an object of type {type(space).__name__}; "
                f"from_gymnasium_space makes one of a Gymnasium space"
            )


def _box(space: BoxSpace) -> gymnasium.Space[Any]:
    from gymnasium.spaces import Box

    shape, dtype = space.shape, space.dtype.value
    # Scalars or arrays of the exact dtype: Gymnasium then neither warns nor loses digits.
    if len(space.low) == len(space.high) == 1 and dtype != "bool":
        # Gymnasium fills each array once. Of given arrays it makes copies, which costs seconds for
        # a box of 100 MB.
        scalar = np.dtype(dtype).type
        box = Box(scalar(space.low[0]), scalar(space.high[0]), shape, dtype=np.dtype(dtype))
    else:
        low = expand(space.low, shape, dtype)
        high = expand(space.high, shape, dtype)
        box = Box(low, high, dtype=np.dtype(dtype))
    if space.bounded_below:
        box.bounded_below = expand(space.bounded_below, shape, np.bool_)
    if space.bounded_above:
        box.bounded_above = expand(space.bounded_above, shape, np.bool_)
    return box


def _text(space: TextSpace) -> gymnasium.Space[Any]:
    from gymnasium.spaces import Text

    from rlmesh.spaces.any_text import AnyText

    if space.charset is None:
        return AnyText(space.max_length, min_length=space.min_length)
    return Text(space.max_length, min_length=space.min_length, charset=space.charset)


def _dict(space: DictSpace) -> gymnasium.Space[Any]:
    from gymnasium.spaces import Dict

    # Gymnasium leaves the order of pairs alone, and sorts a mapping.
    made = Dict([(entry.key, to_gymnasium_space(entry.space)) for entry in space.entries])
    if space.keep_order:
        # As `sort_keys=False` does, which releases before 1.4 would take for a space's name.
        made.sort_keys = False
    return made
