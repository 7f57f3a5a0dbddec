"""What each leaf may hold: bounds as arrays, without the sides that a dtype makes vacuous."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from rlmesh.codec.checks.policy import Nan
from rlmesh.codec.slab.leaves import Leaf
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

__all__ = ["Domain", "NumericDomain", "TextDomain", "TextRule", "find_domains"]


@dataclass(frozen=True, slots=True, eq=False)
class NumericDomain:
    """What a numeric leaf may hold.

    Attributes:
        leaf: The leaf.
        dtype: The dtype to compare in: the leaf's, uint8 for bool.
        low: The least values, of shape `()` or the leaf's; None where the dtype has no less.
        high: The largest values likewise.
        required: Whether a value outside of them is refused whatever the policy.
        nan: What happens to NaN; None where the dtype has none.
    """

    leaf: Leaf
    dtype: np.dtype[Any]
    low: npt.NDArray[Any] | None
    high: npt.NDArray[Any] | None
    required: bool
    nan: Nan | None


@dataclass(frozen=True, slots=True)
class TextRule:
    """What one text may be.

    Attributes:
        min_length: The least number of characters.
        max_length: The largest number of characters.
        charset: The characters it may be made of, None for any.
    """

    min_length: int
    max_length: int
    charset: frozenset[str] | None

    def holds(self, text: str) -> bool:
        """Whether a text is allowed."""
        return self.min_length <= len(text) <= self.max_length and (
            self.charset is None or self.charset.issuperset(text)
        )


@dataclass(frozen=True, slots=True)
class TextDomain:
    """What a text leaf may hold.

    Attributes:
        leaf: The leaf.
        rules: What the text of every sub-environment may be, or the only one of a single endpoint.
    """

    leaf: Leaf
    rules: tuple[TextRule, ...]


Domain: TypeAlias = NumericDomain | TextDomain


def find_domains(
    leaves: Sequence[Leaf], space: Space, batched: Space | None, nan: Nan = Nan.REJECT
) -> list[Domain]:
    """What each leaf may hold, in declared order.

    Args:
        leaves: The leaves of the space.
        space: The space of one sub-environment.
        batched: The space of all sub-environments, where they differ in their bounds.
        nan: What happens to NaN.
    """
    if batched is None:
        return [_domain(leaf, leaf.space, nan, of_sub_env=True) for leaf in leaves]
    counterparts = _batched_leaves(space, batched)
    return [
        _domain(leaf, of_all, nan, of_sub_env=False)
        for leaf, of_all in zip(leaves, counterparts, strict=True)
    ]


def _batched_leaves(space: Space, batched: Space) -> Iterator[Space]:
    """For each leaf of one sub-environment's space: its counterpart in the batched space."""
    if not isinstance(space, TupleSpace | DictSpace):
        yield batched
    elif isinstance(space, TupleSpace) and isinstance(batched, TupleSpace):
        for one, of_all in zip(space.spaces, batched.spaces, strict=True):
            yield from _batched_leaves(one, of_all)
    elif isinstance(space, DictSpace) and isinstance(batched, DictSpace):
        # By their keys: Gymnasium sorts those of the batched space.
        of_all_by_key = {entry.key: entry.space for entry in batched.entries}
        for entry in space.entries:
            yield from _batched_leaves(entry.space, of_all_by_key[entry.key])
    else:
        raise TypeError(f"expected the batched space of {space}, got {batched}")


def _domain(leaf: Leaf, space: Space, nan: Nan, *, of_sub_env: bool) -> Domain:
    """What a leaf may hold, from the space of one sub-environment or from that of all of them."""
    if isinstance(space, TextSpace):
        return TextDomain(leaf, (_rule(space),) * (leaf.num_envs or 1))
    if isinstance(space, TupleSpace):
        return TextDomain(leaf, tuple([_rule(child) for child in space.spaces]))
    low, high = _limits(space)
    dtype = np.dtype(np.uint8) if leaf.dtype.kind == "b" else leaf.dtype
    least, most = _extremes(leaf.dtype)
    shape = leaf.shape[1:] if of_sub_env and leaf.num_envs is not None else leaf.shape

    def bound(numbers: Sequence[float], vacuous: float) -> npt.NDArray[Any] | None:
        array: npt.NDArray[Any] = np.array(
            [min(max(number, least), most) for number in numbers], dtype=dtype
        )
        if leaf.count == 0 or bool((array == vacuous).all()):
            return None
        if bool((array == array[0]).all()):
            return np.array(array[0])
        return np.broadcast_to(array.reshape(shape), leaf.shape)

    required = not isinstance(leaf.space, BoxSpace)
    held = nan if dtype.kind == "f" else None
    return NumericDomain(leaf, dtype, bound(low, least), bound(high, most), required, held)


def _rule(space: Space) -> TextRule:
    if not isinstance(space, TextSpace):
        raise TypeError(f"expected a space of texts, got {space}")
    charset = None if space.charset is None else frozenset(space.charset)
    return TextRule(space.min_length, space.max_length, charset)


def _limits(space: Space) -> tuple[Sequence[int | float], Sequence[int | float]]:
    """The least and the largest values of a numeric space, in C order or one for all elements."""
    if isinstance(space, BoxSpace):
        return space.low, space.high
    if isinstance(space, DiscreteSpace):
        return (space.start,), (space.start + space.n - 1,)
    if isinstance(space, MultiBinarySpace):
        return (0,), (1,)
    if isinstance(space, MultiDiscreteSpace):
        count = max(len(space.start), len(space.nvec))
        starts = space.start * (count // len(space.start)) if space.start else ()
        nvec = space.nvec * (count // len(space.nvec)) if space.nvec else ()
        return starts, [start + n - 1 for start, n in zip(starts, nvec, strict=True)]
    raise TypeError(f"expected a space of numbers, got {space}")


def _extremes(dtype: np.dtype[Any]) -> tuple[int | float, int | float]:
    """The least and the largest value of a dtype."""
    if dtype.kind == "f":
        return -np.inf, np.inf
    if dtype.kind == "b":
        return 0, 1
    limits = np.iinfo(dtype)
    return int(limits.min), int(limits.max)
