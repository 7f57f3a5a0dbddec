"""The command `view`: what servers are doing, in a browser."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Sequence
from types import FrameType
from typing import Any

import click

from rlmesh._cli import arguments
from rlmesh._cli.asking import credential_options, credentials_of
from rlmesh._cli.failure import failures_on_one_line
from rlmesh._cli.options import with_options
from rlmesh.address import TcpAddress
from rlmesh.errors import StateError
from rlmesh.security import Credentials
from rlmesh.server.rpc.binding import listen

DEFAULT_ADDRESS = "127.0.0.1:8008"
MOST_RENDERS = 60

_ADDRESSES = click.argument(
    "addresses", metavar="[ADDRESS]...", nargs=-1, callback=arguments.endpoint_addresses
)
page_options = (
    click.option(
        "--listen",
        metavar="HOST:PORT",
        default=DEFAULT_ADDRESS,
        show_default=True,
        callback=arguments.direct_address,
        help="Where browsers find the page. Port 0 takes a free one.",
    ),
    click.option(
        "--host-name",
        "hosts",
        metavar="NAME",
        multiple=True,
        help="Another name by which browsers may ask for the page, besides this machine's "
        "addresses and name. May be given again.",
    ),
)


@click.command(short_help="Show what servers are doing in a browser.")
@with_options(_ADDRESSES, *page_options)
@click.option(
    "--render",
    metavar="TIMES",
    type=click.FloatRange(0, MOST_RENDERS),
    default=0.0,
    show_default=True,
    help="How many times a second environments whose render mode is rgb_array are rendered, "
    "between two calls of their client. 0: never, only the images of observations are shown.",
)
@with_options(*credential_options)
def view(
    *,
    addresses: Sequence[str],
    listen: TcpAddress,
    hosts: Sequence[str],
    render: float,
    **given: Any,
) -> None:
    """Show what the servers at the ADDRESSes are doing, on a page for a browser.

    The page shows every session: its newest image, its reward and return, how fast it steps, who
    holds it, and where it is stuck. It asks for the token, where there is one. Needs
    `pip install 'rlmesh[view]'`. ADDRESS may be left out where RLMESH_ADDRESS or RLMESH_PORT is
    set. Exit codes: 0 after Ctrl-C or SIGTERM, 1 when the page cannot be shown, 2 for wrong usage.
    """
    insecure = bool(given["insecure"])
    with failures_on_one_line():
        run_page(addresses, listen, hosts, render, credentials_of(**given), insecure=insecure)


def run_page(
    addresses: Sequence[str],
    where: TcpAddress,
    hosts: Sequence[str],
    render: float,
    credentials: Credentials,
    *,
    insecure: bool,
    player: Any = None,
) -> None:
    """Shows the page until the end of the process.

    Args:
        addresses: The servers that it shows.
        where: Where browsers find it.
        hosts: Other names by which they may ask.
        render: How many times a second environments are rendered.
        credentials: What to come in with.
        insecure: Whether everybody may see it.
        player: As of `rlmesh.view.serving.make_server`.
    """
    if not (where.is_loopback or insecure or credentials.token is not None):
        raise click.UsageError(
            f"--listen {where} is reachable from other machines, and everybody who reaches it "
            f"would see what runs; give --token-file, so that the page asks for the token, or "
            f"--insecure if everybody on that network may see it."
        )
    serving = import_serving()
    shown = [serving.Shown(address=address) for address in addresses]
    server = serving.make_server(
        shown,
        credentials=credentials,
        token=credentials.token,
        hosts=hosts,
        render_rate=render,
        player=player,
    )
    # Also what uvicorn passes on when it has ended by the signal.
    signal.signal(signal.SIGTERM, _end)
    listener = listen(where)
    url = serving.url_of(listener)
    click.echo(f"the view is at {url}" + ("#token=TOKEN" if credentials.token else ""))
    if credentials.token is not None:
        click.echo("  with the servers' token in the place of TOKEN")
    if player is None:
        serving.give_way()
    with listener, contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listener])


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


def import_serving() -> Any:
    """What shows the page.

    Raises:
        StateError: If what it needs is not installed.
    """
    try:
        from rlmesh.view import serving
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("rlmesh"):
            raise
        raise StateError(
            f"the view needs {error.name}, which is not installed; run `pip install 'rlmesh[view]'`"
        ) from error
    return serving
