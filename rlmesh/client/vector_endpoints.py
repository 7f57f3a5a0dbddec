"""What a vector client drives: one vector environment, or several endpoints side by side."""

from __future__ import annotations

import math
import time
from typing import Any

from rlmesh.address import parse_address
from rlmesh.client.address_source import AddressList, AddressSource
from rlmesh.client.connect_diagnosis import is_listening
from rlmesh.client.connect_options import EnvConnectOptions
from rlmesh.client.env_client import EnvClient
from rlmesh.client.multi_endpoint import MultiEndpoint
from rlmesh.client.replacing_endpoints import ReplacingEndpoints
from rlmesh.client.traced_clients import connect_env
from rlmesh.codec.infos.type_guards import is_row
from rlmesh.counts import check_count
from rlmesh.errors import (
    EndpointBusyError,
    EndpointUnreachableError,
    InvalidArgumentError,
    WrongEndpointKindError,
)
from rlmesh.notes import add_note

# How often a source is read again that has too few addresses, and how long a look may take whether
# a server listens.
_PAUSE_SECONDS, _LOOK_SECONDS = 0.1, 0.5


def connect_vector(
    address: Any,
    source: AddressSource | None,
    options: EnvConnectOptions,
    num_envs: int | None,
    on_loss: str,
) -> EnvClient | MultiEndpoint:
    """Connects to the endpoints of a vector client.

    Args:
        address: An address, a list of them, or what names a source.
        source: The source that it names; None: it is no such name.
        options: How to connect; `vector` is None for several endpoints, and True for one address.
        num_envs: How many sub-environments there must be. A single environment at one address
            stands as often. None: as many as there are.
        on_loss: `raise` or `replace`.

    Raises:
        ArgumentTypeError: If `num_envs` is no int.
        InvalidArgumentError: If there are not `num_envs` sub-environments.
        RlmeshError: What `EnvClient`, `MultiEndpoint` and the source raise.
    """
    check_count("num_envs", num_envs)
    if source is not None:
        return _at_source(source, options, num_envs, on_loss)
    several = is_row(address)
    if on_loss == "replace":
        return _replacing(list(address) if several else [address], options, num_envs)
    made: EnvClient | MultiEndpoint
    try:
        made = MultiEndpoint(list(address), options) if several else connect_env(address, options)
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
    made = ReplacingEndpoints(AddressList(addresses), addresses, options, num_envs)
    if num_envs is not None and len(addresses) == made.num_envs == 1 < num_envs:
        # Sessions of one server, as without replacing.
        made.close()
        addresses = addresses * num_envs
        made = ReplacingEndpoints(AddressList(addresses), addresses, options, num_envs)
    _check_count(made, num_envs)
    return made


def _at_source(
    source: AddressSource, options: EnvConnectOptions, num_envs: int | None, on_loss: str
) -> MultiEndpoint:
    """Connects to the addresses of a source; waits until there are enough of them."""
    options = options.for_servers_named(source.server_name)

    def connect(addresses: list[str]) -> MultiEndpoint:
        if on_loss == "replace":
            return ReplacingEndpoints(source, addresses, options, num_envs)
        return MultiEndpoint(addresses, options, num_envs)

    if num_envs is None:
        return connect(source.addresses())
    limit = options.connect_timeout
    deadline = math.inf if limit is None else time.monotonic() + limit
    tried: list[str] = []
    found = 0
    while True:
        listening = _listening(source)
        if listening and listening != tried:
            tried = listening
            made = connect(listening)
            if made.num_envs >= num_envs:
                _check_count(made, num_envs)
                return made
            found = made.num_envs
            made.close()
        if time.monotonic() >= deadline:
            raise EndpointUnreachableError(
                f"num_envs={num_envs}: within {limit:g} s, {source} had no more than {found} "
                f"sub-environments at {len(tried)} addresses where a server listens; start more "
                f"servers, or give a larger connect_timeout_seconds"
            )
        time.sleep(_PAUSE_SECONDS)


def _listening(source: AddressSource) -> list[str]:
    """The addresses of a source at which something listens: a killed server leaves its own there.

    Raises:
        InvalidAddressError: If what stands there cannot be read as addresses.
    """
    try:
        addresses = source.addresses()
    except EndpointUnreachableError:
        return []
    return [each for each in addresses if is_listening(parse_address(each), _LOOK_SECONDS)]


def _sessions(address: Any, options: EnvConnectOptions, num_envs: int) -> MultiEndpoint:
    """Opens a session for each sub-environment at the address of a single environment."""
    try:
        return MultiEndpoint([address] * num_envs, options)
    except EndpointBusyError as error:
        add_note(
            error,
            f"num_envs={num_envs} needs as many sessions of this server, as "
            f"EnvServer(make_env, sessions={num_envs}) offers them",
        )
        raise


def _check_count(made: EnvClient | MultiEndpoint, num_envs: int | None) -> None:
    if num_envs is not None and made.num_envs != num_envs:
        made.close()
        of = "together have" if isinstance(made, MultiEndpoint) else "has"
        raise InvalidArgumentError(
            f"num_envs={num_envs}: what is served at {made.address} {of} {made.num_envs} "
            f"sub-environments; give num_envs={made.num_envs}"
        )


def check_on_loss(on_loss: object) -> None:
    """Checks what to do about a lost server.

    Raises:
        InvalidArgumentError: If it is an unknown word.
    """
    if on_loss not in ("raise", "replace"):
        raise InvalidArgumentError(f"on_loss must be 'raise' or 'replace', got {on_loss!r:.80}")
