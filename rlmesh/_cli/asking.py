"""The commands that ask a server: `contract`, `status`, `wait`."""

from __future__ import annotations

import json
import os
from typing import Any

import click

from rlmesh._cli import arguments
from rlmesh._cli.console import make_console
from rlmesh._cli.contract_table import contract_view
from rlmesh._cli.failure import failures_on_one_line
from rlmesh._cli.options import TOKEN_FILE, with_options
from rlmesh._cli.status_table import introduce, status_dict, status_view
from rlmesh.client.probing import fetch_contract, fetch_status, wait_until_serving
from rlmesh.security import ClientTLS, Credentials, credentials_from

_address = click.argument(
    "address", metavar="[ADDRESS]", required=False, callback=arguments.endpoint_address
)
timeout_option = click.option(
    "--timeout",
    metavar="SECONDS",
    type=float,
    default=5.0,
    show_default=True,
    callback=arguments.seconds,
    help="Until when the server must have answered.",
)
_tls_options = (
    click.option(
        "--tls", is_flag=True, help="Use TLS, and trust the authorities that this machine trusts."
    ),
    click.option(
        "--tls-ca",
        metavar="FILE",
        help="Use TLS, and trust the authorities in this PEM file instead.",
    ),
    click.option(
        "--tls-cert",
        metavar="FILE",
        help="Use TLS, with this client's own certificate, PEM. Needs --tls-key.",
    ),
    click.option("--tls-key", metavar="FILE", help="Its private key, PEM, without a passphrase."),
    click.option(
        "--tls-server-name",
        metavar="NAME",
        help="Use TLS; the name that the server's certificate must have. Default: the address's.",
    ),
)
credential_options = (
    TOKEN_FILE,
    *_tls_options,
    click.option(
        "--insecure", is_flag=True, help="Show the token also where the network can read it."
    ),
)


model_option = click.option(
    "--model", metavar="NAME", help="Which model, where the server has several."
)
as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, on one line.")


@click.command(short_help="Show what a served environment or model is.")
@with_options(_address, as_json_option, model_option, timeout_option, *credential_options)
def contract(
    *, address: str, as_json: bool, model: str | None, timeout: float, **given: Any
) -> None:
    """Show the contract of what is served at ADDRESS, an environment or a model.

    ADDRESS may be left out where RLMESH_ADDRESS or RLMESH_PORT is set. Exit codes: 0, 1 when
    no server answers, 2 for wrong usage.
    """
    with failures_on_one_line():
        found, server = fetch_contract(address, timeout, credentials_of(**given), model=model)
    if as_json:
        click.echo(found.to_json())
        return
    facts = {"address": address, "server": introduce(server)}
    make_console().print(contract_view(found, facts))


@click.command(short_help="Show what a server is doing.")
@with_options(_address, as_json_option, timeout_option, *credential_options)
def status(*, address: str, as_json: bool, timeout: float, **given: Any) -> None:
    """Show what the server at ADDRESS is doing, also while what it serves is stuck in a call.

    ADDRESS may be left out where RLMESH_ADDRESS or RLMESH_PORT is set. Exit codes: 0, 1 when
    no server answers, 2 for wrong usage.
    """
    with failures_on_one_line():
        found = fetch_status(address, timeout, credentials_of(**given))
    if as_json:
        click.echo(json.dumps({"address": address, **status_dict(found)}))
        return
    make_console().print(status_view(found, address))


@click.command(short_help="Wait until a server serves.")
@_address
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=float,
    default=30.0,
    show_default=True,
    callback=arguments.seconds,
    help="How long to wait; however short, it asks once.",
)
@with_options(*_tls_options)
def wait(*, address: str, timeout: float, **given: Any) -> None:
    """Wait until the server at ADDRESS serves; it may be started before or after this.

    ADDRESS may be left out where RLMESH_ADDRESS or RLMESH_PORT is set. Exit codes: 0 as soon as
    the server's health is SERVING, 1 when it is not in time, 2 for wrong usage.
    """
    with failures_on_one_line():
        wait_until_serving(address, timeout, tls_of(**given))


def credentials_of(*, token: str | None, insecure: bool, **tls: Any) -> Credentials:
    return credentials_from(token, tls_of(**tls), os.environ, insecure=insecure)


def tls_of(
    *,
    tls: bool,
    tls_ca: str | None,
    tls_cert: str | None,
    tls_key: str | None,
    tls_server_name: str | None,
) -> ClientTLS | None:
    if (tls_cert is None) != (tls_key is None):
        raise click.UsageError("A client's certificate needs both --tls-cert and --tls-key.")
    if not tls and (tls_ca, tls_cert, tls_server_name) == (None, None, None):
        return None
    return ClientTLS(ca=tls_ca, certificate=tls_cert, key=tls_key, server_name=tls_server_name)
