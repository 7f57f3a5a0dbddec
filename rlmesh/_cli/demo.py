"""The command `demo`: serves an environment in one process and drives it from another."""

from __future__ import annotations

from typing import Any

import click

from rlmesh._cli import arguments
from rlmesh._cli.failure import failures_on_one_line
from rlmesh._cli.options import (
    LOADING_OPTIONS,
    TOKEN_FILE,
    VERBOSE,
    server_tls,
    with_options,
    with_render_mode,
)
from rlmesh.address import Address
from rlmesh.transports.transport import TRANSPORTS


@click.command(short_help="Serve an environment and drive episodes of it, to see it work.")
@click.option(
    "--env", metavar="ENV", default="CartPole-v1", show_default=True, help="As for `serve`."
)
@click.option(
    "--episodes",
    metavar="N",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="How many episodes to drive.",
)
@click.option(
    "--seed",
    metavar="N",
    type=click.IntRange(min=0),
    help="Makes the episodes repeatable. Default: they are not.",
)
@click.option(
    "--max-steps",
    metavar="N",
    type=click.IntRange(min=1),
    default=10_000,
    show_default=True,
    help="Cut an episode that goes on for longer.",
)
@with_options(*LOADING_OPTIONS)
@click.option(
    "--address",
    metavar="ADDRESS",
    default=arguments.DEFAULT_ADDRESS,
    show_default=True,
    callback=arguments.serving_address,
    help=f"Where to serve: {arguments.ADDRESS_FORMS}. Port 0 takes a free one.",
)
@click.option(
    "--transport",
    type=click.Choice(TRANSPORTS),
    envvar=arguments.TRANSPORT_VARIABLE,
    show_envvar=True,
    help="The transport to drive it over, if the server offers it. Default: the fastest.",
)
@with_options(TOKEN_FILE)
@click.option("--tls-cert", metavar="FILE", help="As for `serve`.")
@click.option("--tls-key", metavar="FILE", help="As for `serve`.")
@click.option(
    "--tls-ca",
    metavar="FILE",
    help="The authorities that the client trusts, PEM. Default: the server's certificate itself.",
)
@VERBOSE
def demo(
    *,
    kwargs: dict[str, Any],
    render_mode: str | None,
    verbose: bool,
    address: Address,
    tls_cert: str | None,
    tls_key: str | None,
    tls_ca: str | None,
    **settings: Any,
) -> None:
    """Serve an environment in another process and drive it from this one, at random.

    It shows the contract, the returns and the steps per second while they come in, and a summary.
    Ctrl-C ends it early. Exit codes: 0 when it was driven and the server ended cleanly, 1 when
    something failed, 2 for wrong usage.
    """
    # Gymnasium takes its time to import, and the other commands do without it.
    from rlmesh._cli.demonstration import DemoRequest, demonstrate

    request = DemoRequest(
        kwargs=with_render_mode(kwargs, render_mode),
        address=str(address),
        verbose=verbose,
        tls=server_tls(tls_cert, tls_key, None),
        ca=tls_ca,
        **settings,
    )
    with failures_on_one_line(verbose=verbose):
        demonstrate(request)
