"""The command `serve-model`."""

from __future__ import annotations

import json
import os
from functools import partial
from typing import Any, Literal

import click

from rlmesh._cli import arguments
from rlmesh._cli.failure import failures_on_one_line
from rlmesh._cli.loading import load_model
from rlmesh._cli.options import server_tls, with_options
from rlmesh._cli.output import Output
from rlmesh._cli.readiness import ReadyFd
from rlmesh._cli.serve import (
    ENDPOINT_OPTIONS,
    LIFE_OPTIONS,
    check_direct,
    check_metrics,
    check_reach,
)
from rlmesh._cli.serving import ServedModels, ServeRequest
from rlmesh._cli.serving import serve as serve_until_ended
from rlmesh.address import Address, TcpAddress
from rlmesh.security import TOKEN_VARIABLE
from rlmesh.server.options import ServeOptions

_HELP = """\
Serve the model MODEL until SIGINT, SIGTERM or idleness ends the worker.

MODEL is a module and a callable that makes a model, or a mapping of several \
(my_package.policies:make). Options that this command does not know are keyword arguments of the \
callable: --checkpoint runs/7.pt --horizon 16 calls make(checkpoint="runs/7.pt", horizon=16). A \
value is read as JSON where it is JSON, else as text.

Exit codes: 0 when the worker was ended and the model closed, 1 when the model could not be made, \
warmed up or served, 2 for wrong usage. A second signal, a while after the first, ends the process \
at once.
"""

_MODEL_OPTIONS = (
    click.option(
        "--kwargs-json",
        "kwargs",
        metavar="OBJECT",
        default="{}",
        show_default=True,
        callback=arguments.json_object,
        help="Keyword arguments to make the model with, as a JSON object.",
    ),
    click.option(
        "--import",
        "imports",
        metavar="PACKAGE",
        multiple=True,
        help="A package to import first. May be given repeatedly.",
    ),
    click.option(
        "--sessions",
        metavar="N",
        type=click.IntRange(min=1),
        default=64,
        show_default=True,
        help="Serve so many clients at once.",
    ),
    click.option(
        "--max-batch-size",
        metavar="N",
        type=click.IntRange(min=1),
        help="The most observations that a model computes at once. Default: as many as wait.",
    ),
    click.option(
        "--batch-wait-seconds",
        metavar="SECONDS",
        type=float,
        default=0.0,
        show_default=True,
        callback=arguments.seconds,
        help="Wait so long for further requests before a batch is computed.",
    ),
    click.option(
        "--queue-limit",
        metavar="N",
        type=click.IntRange(min=1),
        help="Refuse a request where so many wait. Default: no limit.",
    ),
    click.option(
        "--openpi",
        metavar="ADDRESS",
        callback=arguments.direct_address,
        help=f"Answer clients of openpi besides, at its own TCP port: {arguments.TCP_FORMS}. Port "
        f"0 takes a free one. Default: nowhere.",
    ),
    click.option(
        "--isolation",
        type=click.Choice(["process"]),
        help="Run each model in a worker process, so that the server lives on when it crashes. "
        "Default: in the server's process.",
    ),
    click.option("--no-warmup", is_flag=True, help="Serve without calling the model's warmup."),
)


@click.command(
    name="serve-model",
    help=_HELP,
    short_help="Serve a model until a signal ends it.",
    context_settings={"ignore_unknown_options": True},
)
@click.argument("model")
@click.argument("given", nargs=-1, type=click.UNPROCESSED, metavar="[--KEYWORD VALUE]...")
@with_options(*_MODEL_OPTIONS, *ENDPOINT_OPTIONS, *LIFE_OPTIONS)
def serve_model(
    *,
    model: str,
    given: tuple[str, ...],
    kwargs: dict[str, Any],
    imports: tuple[str, ...],
    sessions: int,
    max_batch_size: int | None,
    batch_wait_seconds: float,
    queue_limit: int | None,
    openpi: TcpAddress | None,
    isolation: Literal["process"] | None,
    no_warmup: bool,
    address: Address,
    token: str | None,
    tls_cert: str | None,
    tls_key: str | None,
    tls_client_ca: str | None,
    insecure: bool,
    direct: TcpAddress | None,
    announce: str | None,
    health: TcpAddress | None,
    metrics: TcpAddress | None,
    view: TcpAddress | None,
    transports: tuple[Any, ...],
    ready_fd: ReadyFd | None,
    validation: Any,
    allow_remote_shutdown: bool,
    idle_timeout_seconds: float | None,
    drain_timeout_seconds: float | None,
    close_timeout_seconds: float | None,
    resume_timeout_seconds: float,
    session_idle_timeout_seconds: float | None,
    call_timeout_seconds: float | None,
    verbose: bool,
) -> None:
    """The command `serve-model`; each option is what its help says."""
    check_direct(direct, address, transports)
    check_metrics(metrics, insecure=insecure)
    tls = server_tls(tls_cert, tls_key, tls_client_ca)
    if not (token or tls or insecure or TOKEN_VARIABLE in os.environ):
        check_reach("ask the model", address, direct, openpi)
    keywords = {**kwargs, **_keywords(given)}
    with (
        Output(verbose=verbose) as output,
        failures_on_one_line(verbose=verbose, complain=output.complain),
    ):
        make_server = partial(
            ServedModels,
            address=str(address),
            options=ServeOptions(
                allow_remote_shutdown=allow_remote_shutdown,
                idle_timeout_seconds=idle_timeout_seconds,
                drain_timeout_seconds=drain_timeout_seconds,
                close_timeout_seconds=close_timeout_seconds,
                resume_timeout_seconds=resume_timeout_seconds,
                session_idle_timeout_seconds=session_idle_timeout_seconds,
                call_timeout_seconds=call_timeout_seconds,
            ),
            validation=validation,
            token=token,
            tls=tls,
            insecure=insecure,
            transports=transports or None,
            direct=None if direct is None else str(direct),
            announce=announce,
            health=None if health is None else str(health),
            metrics=None if metrics is None else str(metrics),
            view=None if view is None else str(view),
            openpi=None if openpi is None else str(openpi),
            sessions=sessions,
            max_batch_size=max_batch_size,
            batch_wait_seconds=batch_wait_seconds,
            queue_limit=queue_limit,
            warmup=not no_warmup,
            isolation=isolation,
        )
        serve_until_ended(
            ServeRequest(
                load=partial(load_model, model, keywords, imports),
                make_server=make_server,
                makes_envs=isolation is not None,
                ready_fd=ready_fd,
            ),
            output,
        )


def _keywords(given: tuple[str, ...]) -> dict[str, Any]:
    """Keyword arguments of the model: `--name value`, or `--name=value`."""
    keywords: dict[str, Any] = {}
    rest = list(given)
    while rest:
        option = rest.pop(0)
        name, equals, value = option.removeprefix("--").partition("=")
        name = name.replace("-", "_")
        if not option.startswith("--") or not name.isidentifier():
            raise click.UsageError(
                f"{option!r} is no option; a keyword argument of the model is written as "
                f"--keyword value."
            )
        if not equals:
            if not rest:
                raise click.UsageError(f"{option} needs a value.")
            value = rest.pop(0)
        try:
            keywords[name] = json.loads(value)
        except ValueError:
            keywords[name] = value
    return keywords
