"""What a vector client drives: one vector environment, or several endpoints side by side."""

from __future__ import annotations

from typing import Any

from rlmesh.client.address_source import AddressList
from rlmesh.client.connect_options import EnvConnectOptions
from rlmesh.client.env_client import EnvClient
from rlmesh.client.multi_endpoint import MultiEndpoint
from rlmesh.client.replacing_endpoints import ReplacingEndpoints
from rlmesh.codec.infos.type_guards import is_row
from rlmesh.errors import (
    ArgumentTypeError,
    EndpointBusyError,
    InvalidArgumentError,
    WrongEndpointKindError,
)


def connect_vector(
    address: Any, options: EnvConnectOptions, num_envs: int | None, on_loss: str = "raise"
) -> EnvClient | MultiEndpoint:
    """Connects to the endpoints of a vector client.

    Args:
        address: An address, or a list of them.
        options: How to connect; `vector` is None for a list, and True for one address.
        num_envs: How many sub-environments there must be. A single environment at one address
            stands as often. None: as many as there are.
        on_loss: `raise` or `replace`.

    Raises:
        ArgumentTypeError: If `num_envs` is no int.
        InvalidArgumentError: If there are not `num_envs` sub-environments.
        RlmeshError: What `EnvClient` and `MultiEndpoint` raise.
    """
    _check_num_envs(num_envs)
    several = is_row(address)
    if on_loss == "replace":
        return _replacing(list(address) if several else [address], options, num_envs)
    made: EnvClient | MultiEndpoint
    try:
        made = MultiEndpoint(list(address), options) if several else EnvClient(address, options)
    except WrongEndpointKindError:
        if several or num_envs is None:
            raise
        return _sessions(address, options.for_any_kind(), num_envs)
    _check_count(made, num_envs)
    return made


def _replacing(
    addresses: list[Any], options: EnvConnectOptions, num_envs: int | None
) -> ReplacingEndpoints:
    """Connects to endpoints that replace each other, to as many as are needed."""
    options = options.for_any_kind()
    made = ReplacingEndpoints(AddressList(addresses), options, num_envs)
    if num_envs is not None and len(addresses) == made.num_envs == 1 < num_envs:
        # Sessions of one server, as without replacing.
        made.close()
        made = ReplacingEndpoints(AddressList(addresses * num_envs), options, num_envs)
    _check_count(made, num_envs)
    return made


def _check_count(made: EnvClient | MultiEndpoint, num_envs: int | None) -> None:
    if num_envs is not None and made.num_envs != num_envs:
        made.close()
        of = "together have" if isinstance(made, MultiEndpoint) else "has"
        raise InvalidArgumentError(
            f"num_envs={num_envs}: what is served at {made.address} {of} {made.num_envs} "
            f"sub-environments; give num_envs={made.num_envs}"
        )


def _sessions(address: Any, options: EnvConnectOptions, num_envs: int) -> MultiEndpoint:
    """Opens a session for each sub-environment at the address of a single environment."""
    try:
        return MultiEndpoint([address] * num_envs, options)
    except EndpointBusyError as error:
        error.add_note(
            f"num_envs={num_envs} needs as many sessions of this server, as "
            f"EnvServer(make_env, sessions={num_envs}) offers them"
        )
        raise


def _check_num_envs(num_envs: object) -> None:
    if num_envs is None:
        return
    if isinstance(num_envs, bool) or not isinstance(num_envs, int):
        raise ArgumentTypeError(
            f"num_envs must be an int or None, got {type(num_envs).__name__} {num_envs!r:.80}"
        )
    if num_envs < 1:
        raise InvalidArgumentError(f"num_envs must be 1 or more, got {num_envs}")
