"""The batched spaces of vector environments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rlmesh.errors import InvalidEnvError
from rlmesh.spaces.from_gymnasium import from_gymnasium_space
from rlmesh.spaces.to_gymnasium import to_gymnasium_space
from rlmesh_api.contract import (
    BoxSpace,
    DictSpace,
    DiscreteSpace,
    Dtype,
    MultiBinarySpace,
    MultiDiscreteSpace,
    Space,
    TextSpace,
    TupleSpace,
)

if TYPE_CHECKING:
    import gymnasium


def batched_gymnasium_space(space: Space, num_envs: int) -> gymnasium.Space[Any]:
    """The Gymnasium space of `num_envs` sub-environments of a space, as Gymnasium batches it."""
    from gymnasium.vector.utils import batch_space

    return batch_space(to_gymnasium_space(space), num_envs)


def batch_as_declared(declared: object, single: Space, num_envs: int, name: str) -> Space | None:
    """Compares the batched space that a vector environment declares with Gymnasium's.

    Returns:
        None where they are equal, else the declared one, whose sub-environments differ in their
        bounds, or whose keys stand in another order. One of RLMesh's own spaces is not compared,
        for only Gymnasium could batch the other.

    Raises:
        InvalidEnvError: If the declared space is not one of `num_envs` sub-environments at all.
    """
    space = from_gymnasium_space(declared)
    if not is_batched(space, single, num_envs):
        raise InvalidEnvError(
            f"env.{name} must hold {num_envs} sub-environments of env.single_{name}, {single}, "
            f"got {space}"
        )
    if isinstance(declared, Space):
        return space
    equal = space == from_gymnasium_space(batched_gymnasium_space(single, num_envs))
    return None if equal else space


def is_batched(space: Space, single: Space, num_envs: int) -> bool:
    """Whether a space has what all batched spaces of these sub-environments share.

    Args:
        space: The space of all sub-environments.
        single: That of one sub-environment.
        num_envs: How many there are.
    """
    if isinstance(single, TupleSpace):
        return (
            isinstance(space, TupleSpace)
            and len(space.spaces) == len(single.spaces)
            and all(
                is_batched(batched, child, num_envs)
                for batched, child in zip(space.spaces, single.spaces, strict=True)
            )
        )
    if isinstance(single, DictSpace):
        children = {entry.key: entry.space for entry in single.entries}
        return (
            isinstance(space, DictSpace)
            and {entry.key for entry in space.entries} == children.keys()
            and all(is_batched(each.space, children[each.key], num_envs) for each in space.entries)
        )
    if isinstance(single, TextSpace):
        return (
            isinstance(space, TupleSpace)
            and len(space.spaces) == num_envs
            and all(isinstance(child, TextSpace) for child in space.spaces)
        )
    found = (space.kind, getattr(space, "dtype", None), getattr(space, "shape", None))
    return found == _batched_leaf(single, num_envs)


def _batched_leaf(single: Space, num_envs: int) -> tuple[str, Dtype, tuple[int, ...]]:
    """The kind that Gymnasium batches a space into, its dtype and its shape."""
    if isinstance(single, DiscreteSpace):
        return MultiDiscreteSpace.kind, single.dtype, (num_envs,)
    if isinstance(single, BoxSpace | MultiDiscreteSpace):
        return BoxSpace.kind, single.dtype, (num_envs, *single.shape)
    if isinstance(single, MultiBinarySpace):
        return BoxSpace.kind, Dtype.INT8, (num_envs, *single.shape)
    raise TypeError(f"expected a space of RLMesh, got {single!r}")
