"""How many bytes the values of a space take where they cross."""

from __future__ import annotations

from rlmesh.codec.slab.leaves import arrange
from rlmesh_api.contract import Space, TextSpace

__all__ = ["bytes_of", "size_of"]


def bytes_of(space: Space) -> int:
    """The bytes of the arrays in a value; texts count as their lengths do."""
    leaves = arrange(space, None)
    return leaves[-1].end if leaves else 0


def size_of(space: Space) -> int:
    """The same and a byte for each character that a text may have."""
    leaves = arrange(space, None)
    texts = (leaf.space.max_length for leaf in leaves if isinstance(leaf.space, TextSpace))
    return (leaves[-1].end if leaves else 0) + sum(texts)
