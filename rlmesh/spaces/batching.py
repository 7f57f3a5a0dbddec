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
    TupleSpace,
)

if TYPE_CHECKING:
    import gymnasium


def batched_gymnasium_space(space: Space, num_envs: int) -> gymnasium.Space[Any]:
    """The Gymnasium space of `num_envs` lanes of a space, as Gymnasium batches it."""
    from gymnasium.vector.utils import batch_space

    return batch_space(to_gymnasium_space(space), num_envs)


def batch_as_declared(declared: object, single: Space, num_envs: int, name: str) -> Space | None:
    """Compares the batched space that a vector environment declares with Gymnasium's.

    Returns:
        None where they are equal, else the declared one, whose lanes differ in their bounds, or
        whose keys stand in another order. One of RLMesh's own spaces is not compared, for only
        Gymnasium could batch the other.

    Raises:
        InvalidEnvError: If the declared space is not one of `num_envs` lanes at all.
    """
    space = from_gymnasium_space(declared)
    if not is_batched(space, single, num_envs):
        raise InvalidEnvError(
            f"env.{name} must hold {num_envs} lanes of env.single_{name}, {single}, got {space}"
        )
    if isinstance(declared, Space):
        return space
    equal = space == from_gymnasium_space(batched_gymnasium_space(single, num_envs))
    return None if equal else space


def is_batched(space: Space, single: Space, num_envs: int) -> bool:
    """Whether a space is that of `num_envs` lanes of another, whatever its bounds."""
    return _structure(space) == _batched_structure(single, num_envs)


def _structure(space: Space) -> object:
    """What every batched space of the same lanes has in common: all but bounds and keys' order."""
    if isinstance(space, TupleSpace):
        return [_structure(child) for child in space.spaces]
    if isinstance(space, DictSpace):
        return {entry.key: _structure(entry.space) for entry in space.entries}
    return (space.kind, getattr(space, "dtype", None), getattr(space, "shape", None))


def _batched_structure(single: Space, num_envs: int) -> object:
    """The structure of that many lanes of a space, in the kinds that Gymnasium batches into."""
    if isinstance(single, TupleSpace):
        return [_batched_structure(child, num_envs) for child in single.spaces]
    if isinstance(single, DictSpace):
        return {entry.key: _batched_structure(entry.space, num_envs) for entry in single.entries}
    if isinstance(single, DiscreteSpace):
        return (MultiDiscreteSpace.kind, single.dtype, (num_envs,))
    if isinstance(single, BoxSpace | MultiDiscreteSpace):
        return (BoxSpace.kind, single.dtype, (num_envs, *single.shape))
    if isinstance(single, MultiBinarySpace):
        return (BoxSpace.kind, Dtype.INT8, (num_envs, *single.shape))
    return [_structure(single)] * num_envs
