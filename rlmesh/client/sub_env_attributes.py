"""Attributes of sub-environments that a vector client knows without its server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rlmesh.client.local_spec import local_metadata, local_spec
from rlmesh.contract import EnvContract

SUB_ENV_NAMES = frozenset({"metadata", "np_random_seed", "render_mode", "spec"})
"""The names; no server can expose them, because clients have attributes of these names."""

# What `gymnasium.make_vec` adds to the arguments in a spec.
_OF_THE_VECTOR = ("num_envs", "vectorization_mode", "vector_kwargs", "wrappers")


def sub_env_attribute(
    name: str, contracts: Sequence[EnvContract], seeds: tuple[int, ...]
) -> tuple[Any, ...]:
    """The attribute of each sub-environment.

    Args:
        name: One of `SUB_ENV_NAMES`.
        contracts: The contracts of the endpoints, in the order of their sub-environments.
        seeds: The seeds of the sub-environments.
    """
    if name == "np_random_seed":
        return seeds
    # Each has its own, as each environment has its own in one process.
    return tuple(
        _attribute(name, contract) for contract in contracts for _ in range(contract.num_envs)
    )


def _attribute(name: str, contract: EnvContract) -> Any:
    match name:
        case "render_mode":
            return contract.render_mode
        case "metadata":
            metadata = local_metadata(contract)
            metadata.pop("autoreset_mode", None)
            return metadata
        case _:
            spec = local_spec(contract)
            for added in _OF_THE_VECTOR:
                if spec is not None:
                    spec.kwargs.pop(added, None)
            return spec
