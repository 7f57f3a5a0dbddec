"""How many bytes the values of a space take where they cross."""

from __future__ import annotations

from rlmesh.codec.slab.leaves import arrange
from rlmesh_api.contract import Space

__all__ = ["bytes_of"]


def bytes_of(space: Space) -> int:
    """The bytes of the arrays in a value; texts count as their lengths do."""
    leaves = arrange(space, None)
    return leaves[-1].end if leaves else 0
