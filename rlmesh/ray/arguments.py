"""Arguments that fleets of environments and of models have in common."""

from __future__ import annotations

import inspect
from collections.abc import Collection
from typing import Any

from rlmesh.codec.infos.type_guards import is_mapping
from rlmesh.counts import check_count
from rlmesh.errors import ArgumentTypeError, InvalidArgumentError, InvalidCredentialsError
from rlmesh.seconds import check_seconds
from rlmesh.security import ServerTLS
from rlmesh.server.endpoint_server import EndpointServer

# Where a server listens and whom it answers is the fleet's to say.
_ENDPOINT_ARGUMENTS = frozenset(
    (
        "address",
        "announce",
        "direct",
        "health",
        "host",
        "insecure",
        "metrics",
        "path",
        "port",
        "tls",
        "token",
        "view",
    )
)


def check_tls(tls: object, server_tls: object) -> None:
    """Checks that both sides use TLS, or neither.

    Raises:
        ArgumentTypeError: If `server_tls` is no `ServerTLS`.
        InvalidCredentialsError: If only one is given.
    """
    if not (server_tls is None or isinstance(server_tls, ServerTLS)):
        raise ArgumentTypeError(
            f"server_tls must be a rlmesh.ServerTLS or None, got {type(server_tls).__name__}"
        )
    if (tls is None) != (server_tls is None):
        raise InvalidCredentialsError(
            "TLS needs both sides: give tls=rlmesh.ClientTLS(...), what this program trusts, and "
            "server_tls=rlmesh.ServerTLS(...), where the certificates are on every node"
        )


def read_count(name: str, given: object) -> int:
    """A number that is 1 or more.

    Raises:
        ArgumentTypeError: If it is no integer.
        InvalidArgumentError: If it is less than 1.
    """
    count = check_count(name, given)
    if count is None:
        raise ArgumentTypeError(f"{name} must be an int, got None")
    return count


def read_seconds(name: str, given: object) -> float:
    """A number of seconds.

    Raises:
        ArgumentTypeError: If it is no number.
        InvalidArgumentError: If it is negative or not finite.
    """
    seconds = check_seconds(name, given)
    if seconds is None:
        raise ArgumentTypeError(f"{name} must be a number of seconds, got None")
    return seconds


def read_server_options(
    server: type[EndpointServer], given: object, own: Collection[str]
) -> dict[str, Any]:
    """Further arguments for each server; their values are checked where it is made.

    Args:
        server: The class of the servers.
        given: What the user gives; None: nothing.
        own: The names that the fleet itself gives.

    Raises:
        ArgumentTypeError: If it is no mapping.
        InvalidArgumentError: If a name is no argument of the server, or not the user's to give.
    """
    if given is None:
        return {}
    if not is_mapping(given):
        raise ArgumentTypeError(
            f"server_options must be a mapping of arguments of {server.__name__}, got "
            f"{type(given).__name__} {given!r:.80}"
        )
    allowed = set(inspect.signature(server).parameters) - _ENDPOINT_ARGUMENTS - set(own)
    for name in given:
        if name not in allowed:
            raise InvalidArgumentError(
                f"server_options: {name!r:.80} is no argument of {server.__name__} that can stand "
                f"there; those that can are {', '.join(sorted(allowed))}"
            )
    return {str(name): value for name, value in given.items()}
