"""The command `play`: drives an environment by hand, in a browser."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import click

from rlmesh._cli import arguments
from rlmesh._cli.asking import credential_options, credentials_of
from rlmesh._cli.failure import failures_on_one_line
from rlmesh._cli.options import with_options
from rlmesh._cli.view import MOST_RENDERS, import_serving, page_options, run_page
from rlmesh.address import TcpAddress

_ADDRESS = click.argument(
    "address", metavar="[ADDRESS]", required=False, callback=arguments.endpoint_address
)


@click.command(short_help="Drive an environment by hand in a browser.")
@with_options(_ADDRESS, *page_options)
@click.option(
    "--fps",
    metavar="STEPS",
    type=click.FloatRange(0.1, 120),
    help="Steps a second, while a key is held. Default: what the environment's metadata say, or "
    "30.",
)
@click.option(
    "--seed", metavar="N", type=click.IntRange(min=0), help="The seed of the first reset."
)
@with_options(*credential_options)
def play(
    *,
    address: str,
    listen: TcpAddress,
    hosts: Sequence[str],
    fps: float | None,
    seed: int | None,
    **given: Any,
) -> None:
    """Drive the environment at ADDRESS by keys, buttons or sliders, on a page for a browser.

    It takes a session of the server, as every client does, and shows what `rlmesh view` shows. The
    environment's own keys are those of its `get_keys_to_action`, where the server exposes that:
    `rlmesh serve --expose get_keys_to_action`. Needs `pip install 'rlmesh[view]'`. ADDRESS may be
    left out where RLMESH_ADDRESS or RLMESH_PORT is set. Exit codes: 0 after Ctrl-C or SIGTERM, 1
    when the page cannot be shown, 2 for wrong usage.
    """
    from rlmesh.client.env import RemoteEnv

    insecure = bool(given["insecure"])
    credentials = credentials_of(**given)
    connect = partial(
        RemoteEnv[Any, Any],
        address,
        token=given["token"],
        tls=credentials.tls,
        insecure=insecure,
    )

    def make(changed: Callable[[], None]) -> Any:
        return import_serving().Player(connect, changed, rate=fps, seed=seed)

    with failures_on_one_line():
        run_page(
            [address],
            listen,
            hosts,
            fps or MOST_RENDERS / 2,
            credentials,
            insecure=insecure,
            player=make,
        )
