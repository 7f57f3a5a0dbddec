"""What it costs a client to make the spaces of a contract, counted before it makes any of them."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from rlmesh.limits import MAX_CONTRACT_BYTES
from rlmesh_api.contract import (
    BoxSpace,
    DictSpace,
    DiscreteSpace,
    EnvContract,
    ModelContract,
    MultiBinarySpace,
    MultiDiscreteSpace,
    Space,
    TextSpace,
    TupleSpace,
)
from rlmesh_api.v1 import contract_pb2

__all__ = ["cost_of", "message_cost", "why_too_costly"]

# A space that Gymnasium makes takes a few kilobytes, but as long as some ten times as much of an
# array. A Text takes time and memory for each character of its charset too.
_SPACE_BYTES = 32 << 10
_CHARACTER_BYTES = 512
# Numbers as Python has them, for each byte in which they came; and the values of metadata, where
# four bytes make a list.
_READ_BYTES = 4
_READ_VALUE_BYTES = 12


def cost_of(contract: EnvContract | ModelContract, *, as_vector: bool = False) -> int:
    """About how many bytes the spaces of a contract take.

    The arrays of bounds count by their size, and each space as 32 KiB besides. Of a vector
    environment the batched spaces count too, with one Text for each sub-environment.

    Args:
        contract: The contract.
        as_vector: Whether batched spaces are made; of an environment only.
    """
    total = 0
    for name in ("observation_space", "action_space"):
        single = getattr(contract, name)
        total += sum(_costs(single))
        if as_vector and isinstance(contract, EnvContract):
            batched = getattr(contract, f"batched_{name}")
            total += (
                sum(_costs(single, contract.num_envs)) if batched is None else sum(_costs(batched))
            )
    return total


def message_cost(message: contract_pb2.EnvContract | contract_pb2.ModelContract) -> int:
    """About how many bytes a contract takes that is read from a message."""
    values = message.metadata.ByteSize()
    if isinstance(message, contract_pb2.EnvContract):
        values += message.spec.ByteSize()
    return _READ_BYTES * message.ByteSize() + _READ_VALUE_BYTES * values


def why_too_costly(cost: int, limit: int = MAX_CONTRACT_BYTES) -> str | None:
    """Why a client does not make what costs so many bytes; None where it does."""
    if cost <= limit:
        return None
    return (
        f"what a client makes of the contract takes about {cost} bytes, and max_contract_bytes "
        f"allows {limit}. If you trust the server, connect with max_contract_bytes={cost}"
    )


def _costs(space: Space, num_envs: int = 1) -> Iterator[int]:
    """The cost of each space in a space, of so many sub-environments."""
    match space:
        case TupleSpace():
            yield _SPACE_BYTES
            for child in space.spaces:
                yield from _costs(child, num_envs)
        case DictSpace():
            yield _SPACE_BYTES
            for entry in space.entries:
                yield from _costs(entry.space, num_envs)
        case TextSpace():
            yield num_envs * (_SPACE_BYTES + _CHARACTER_BYTES * len(space.charset or ""))
        case DiscreteSpace():
            yield _SPACE_BYTES + num_envs * _bounds(space.dtype.value)
        case BoxSpace() | MultiDiscreteSpace():
            yield _SPACE_BYTES + num_envs * math.prod(space.shape) * _bounds(space.dtype.value)
        case MultiBinarySpace():
            yield _SPACE_BYTES + num_envs * math.prod(space.shape) * _bounds("int8")
        case _:
            raise TypeError(f"expected a space of RLMesh, got {space!r}")


def _bounds(dtype: str) -> int:
    """The bytes of an element's two bounds, and of the flags whether they are bounds."""
    return 2 * np.dtype(dtype).itemsize + 2
