"""What `gymnasium.make_vec` calls for the id of `rlmesh.registration`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rlmesh.client.vector_env import RemoteVectorEnv
from rlmesh.errors import ArgumentTypeError
from rlmesh.registration import REMOTE_ID


def remote_vector_env(
    num_envs: int = 1,
    *,
    address: str | Sequence[str] | None = None,
    addresses: Sequence[str] | None = None,
    **options: Any,
) -> RemoteVectorEnv[Any, Any]:
    """What `gymnasium.make_vec("rlmesh/Remote-v0", ...)` calls.

    Args:
        num_envs: How many sub-environments there must be.
        address: The address of a vector environment, or of a server with `num_envs` sessions or
            more of a single environment.
        addresses: Several addresses, instead of `address`.
        **options: The other arguments of `rlmesh.RemoteVectorEnv`.

    Returns:
        The client.

    Raises:
        ArgumentTypeError: If not one of `address` and `addresses` is given.
        RlmeshError: What `rlmesh.RemoteVectorEnv` raises.
    """
    if (address is None) == (addresses is None):
        given = "neither" if address is None else "both"
        raise ArgumentTypeError(
            f"{REMOTE_ID} needs address= or addresses=, got {given}; give "
            f'gymnasium.make_vec("{REMOTE_ID}", num_envs=..., address="tcp://HOST:PORT")'
        )
    where: Any = address if addresses is None else list(addresses)
    return RemoteVectorEnv(where, num_envs=num_envs, **options)
