"""Options that several commands have, those that serve and those that ask."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import click

from rlmesh._cli import arguments
from rlmesh.security import TOKEN_VARIABLE, ServerTLS

VERBOSE = click.option(
    "-v",
    "--verbose",
    is_flag=True,
    help="Log what the server does, and show the traceback of a failure.",
)

LOADING_OPTIONS = (
    click.option(
        "--kwargs-json",
        "kwargs",
        metavar="OBJECT",
        default="{}",
        show_default=True,
        callback=arguments.json_object,
        help="Keyword arguments to make the environment with, as a JSON object.",
    ),
    click.option(
        "--render-mode",
        metavar="MODE",
        help="The render mode to make it with, rgb_array for instance. Default: none.",
    ),
    click.option(
        "--import",
        "imports",
        metavar="PACKAGE",
        multiple=True,
        help="A package to import first, which registers environments. May be given repeatedly.",
    ),
)

TOKEN_FILE = click.option(
    "--token-file",
    "token",
    metavar="FILE",
    callback=arguments.token_file,
    help=f"A file that holds the token which clients show. Default: the environment variable "
    f"{TOKEN_VARIABLE}, else none.",
)


def with_options(*options: Callable[..., Any]) -> Callable[..., Any]:
    """Adds options to a command, in their order."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        return reduce(lambda decorated, option: option(decorated), reversed(options), command)

    return add


def server_tls(certificate: str | None, key: str | None, client_ca: str | None) -> ServerTLS | None:
    """Where a server's certificates are, if anywhere."""
    if certificate is not None and key is not None:
        return ServerTLS(certificate=certificate, key=key, client_ca=client_ca)
    if certificate is None and key is None and client_ca is None:
        return None
    raise click.UsageError("TLS needs both --tls-cert and --tls-key.")


def with_render_mode(kwargs: dict[str, Any], render_mode: str | None) -> dict[str, Any]:
    """The keyword arguments with the render mode among them."""
    if render_mode is None:
        return kwargs
    if "render_mode" in kwargs:
        raise click.UsageError("Give the render mode once: --render-mode, or in --kwargs-json.")
    return {**kwargs, "render_mode": render_mode}
