"""The batched spaces of vector environments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rlmesh.errors import InvalidEnvError
from rlmesh.spaces.from_gymnasium import from_gymnasium_space
from rlmesh.spaces.to_gymnasium import to_gymnasium_space
from rlmesh_api.contract import DictSpace, Space, TupleSpace

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
        whose keys stand in another order.

    Raises:
        InvalidEnvError: If the declared space is not one of `num_envs` lanes at all.
    """
    space = from_gymnasium_space(declared)
    expected = from_gymnasium_space(batched_gymnasium_space(single, num_envs))
    if space == expected:
        return None
    if _structure(space) != _structure(expected):
        raise InvalidEnvError(
            f"env.{name} must hold {num_envs} lanes of env.single_{name}, {expected}, got {space}"
        )
    return space


def _structure(space: Space) -> object:
    """What every batched space of the same lanes has in common: all but bounds and keys' order."""
    if isinstance(space, TupleSpace):
        return [_structure(child) for child in space.spaces]
    if isinstance(space, DictSpace):
        return {entry.key: _structure(entry.space) for entry in space.entries}
    return (space.kind, getattr(space, "dtype", None), getattr(space, "shape", None))
