"""The command `serve`, and its options, which `python -m rlmesh._cli.serve_env` shares."""

from __future__ import annotations

import os
from functools import partial
from typing import Any, Literal

import click

from rlmesh._cli import arguments
from rlmesh._cli.failure import failures_on_one_line
from rlmesh._cli.loading import EnvRequest, load
from rlmesh._cli.options import (
    LOADING_OPTIONS,
    TOKEN_FILE,
    VERBOSE,
    server_tls,
    with_options,
    with_render_mode,
)
from rlmesh._cli.output import Output
from rlmesh._cli.readiness import ReadyFd
from rlmesh._cli.serving import ServedEnv, ServeRequest
from rlmesh._cli.serving import serve as serve_until_ended
from rlmesh.address import Address, TcpAddress
from rlmesh.codec.checks.policy import POLICY_VARIABLE, Nan, Policy
from rlmesh.security import TOKEN_VARIABLE
from rlmesh.server.options import ServeOptions
from rlmesh.server.server_options import read_options
from rlmesh.transports.transport import TRANSPORTS

SERVE_HELP = """\
Serve the environment ENV until SIGINT, SIGTERM or idleness ends the server.

ENV is an id that Gymnasium knows (CartPole-v1), a package that registers one and the id \
(ale_py:ALE/Pong-v5), or a module and a callable that makes an environment (my_package.envs:make).

Exit codes: 0 when the server was ended and the environment closed, 1 when the environment could \
not be made or served, 2 for wrong usage. A second signal, a while after the first, ends \
the process at once.
"""

ENDPOINT_OPTIONS = (
    click.option(
        "--address",
        metavar="ADDRESS",
        callback=arguments.serving_address,
        help=f"Where to serve: {arguments.ADDRESS_FORMS}. Port 0 takes a free one. Default: the "
        f"environment variable {arguments.ADDRESS_VARIABLE}, else {arguments.PORT_VARIABLE} on the "
        f"loopback, else {arguments.DEFAULT_ADDRESS}.",
    ),
    TOKEN_FILE,
    click.option(
        "--tls-cert",
        metavar="FILE",
        help="The server's certificate, PEM, with those between it and its authority; connections "
        "are encrypted then. Needs --tls-key. Read again when it changes.",
    ),
    click.option("--tls-key", metavar="FILE", help="Its private key, PEM, without a passphrase."),
    click.option(
        "--tls-client-ca",
        metavar="FILE",
        help="The authorities, PEM, whose clients may connect; no others may then. Default: a "
        "client needs no certificate.",
    ),
    click.option(
        "--insecure",
        is_flag=True,
        help="Serve beyond this machine with neither a token nor TLS: everybody who reaches the "
        "address may use what is served.",
    ),
    click.option(
        "--direct",
        metavar="ADDRESS",
        callback=arguments.direct_address,
        help=f"Offer the transport direct at its own TCP port: {arguments.TCP_FORMS}. Port "
        "0 takes "
        f"a free one. Encrypted where --tls-cert is given. Default: nowhere.",
    ),
    click.option(
        "--transport",
        "transports",
        type=click.Choice(TRANSPORTS),
        multiple=True,
        help="A transport that clients may use; grpc is there in any case. May be given "
        "repeatedly. "
        "Default: all that this machine supports.",
    ),
    click.option(
        "--announce",
        metavar="PATH",
        help="A file, or a folder that exists. While the server answers, its address is a line of "
        "that file, or has its own file in that folder: what clients read as file:PATH. Default: "
        "nowhere.",
    ),
    click.option(
        "--health",
        metavar="ADDRESS",
        callback=arguments.direct_address,
        help=f"Answer the health service besides at its own TCP port, in plaintext and without a "
        f"token, for probes that know no TLS: {arguments.TCP_FORMS}. Port 0 takes a free one. "
        f"Default: nowhere.",
    ),
    click.option(
        "--metrics",
        metavar="ADDRESS",
        callback=arguments.direct_address,
        help=f"Show the metrics to Prometheus at its own TCP port, over HTTP: "
        f"{arguments.TCP_FORMS}. Port 0 takes a free one. Beyond this machine it needs "
        f"--insecure. Default: nowhere.",
    ),
    click.option(
        "--view",
        metavar="ADDRESS",
        callback=arguments.direct_address,
        help=f"Show what runs in a browser, on a page at its own TCP port: {arguments.TCP_FORMS}. "
        f"Port 0 takes a free one. The page asks for the token, where there is one. Default: "
        f"nowhere.",
    ),
    click.option(
        "--ready-fd",
        metavar="N",
        type=int,
        callback=arguments.ready_fd,
        help="A descriptor that this process was given. Once the server serves, it gets one line "
        "with the address, and is closed.",
    ),
    click.option(
        "--validation",
        type=click.Choice([policy.value for policy in Policy]),
        envvar=POLICY_VARIABLE,
        show_envvar=True,
        help="What to do about a value outside of its bounds: deliver it and say so in the info, "
        "reject it, or not look. Default: warn.",
    ),
)
"""Where to serve, and whom, whatever is served."""

LIFE_OPTIONS = (
    click.option("--allow-remote-shutdown", is_flag=True, help="Let a client end the server."),
    click.option(
        "--idle-timeout-seconds",
        metavar="SECONDS",
        type=float,
        callback=arguments.seconds,
        help="End by itself after so long without a request. Default: never.",
    ),
    click.option(
        "--drain-timeout-seconds",
        metavar="SECONDS",
        type=float,
        callback=arguments.seconds,
        help="At the end, wait so long for the call in flight. Default: until it returns.",
    ),
    click.option(
        "--close-timeout-seconds",
        metavar="SECONDS",
        type=float,
        callback=arguments.seconds,
        help="At the end, wait so long for the environment to close. Default: until it has.",
    ),
    click.option(
        "--resume-timeout-seconds",
        metavar="SECONDS",
        type=float,
        default=ServeOptions().resume_timeout_seconds,
        show_default=True,
        callback=arguments.seconds,
        help="Keep a session whose connection has broken so long for its client; 0: not at all.",
    ),
    click.option(
        "--session-idle-timeout-seconds",
        metavar="SECONDS",
        type=float,
        callback=arguments.seconds,
        help="End a session of which nothing is asked for so long. Default: never.",
    ),
    click.option(
        "--call-timeout-seconds",
        metavar="SECONDS",
        type=float,
        callback=arguments.seconds,
        help="Answer a call with an error once the environment has not returned for so long. "
        "Default: when it returns.",
    ),
    VERBOSE,
)
"""When calls, sessions and the server end, whatever is served."""

SERVING_OPTIONS = (
    click.option(
        "--num-envs",
        metavar="N",
        type=click.IntRange(min=1),
        help="Serve a vector environment with so many sub-environments. Default: a single "
        "environment.",
    ),
    click.option(
        "--vectorization-mode",
        type=click.Choice(["sync", "async"]),
        help="Whether the sub-environments share this process or have one each; needs --num-envs. "
        "Default: sync.",
    ),
    click.option(
        "--workers",
        metavar="N",
        type=click.IntRange(min=1),
        help="Run the sub-environments in so many worker processes, in parallel; needs --num-envs. "
        "Default: as --vectorization-mode says.",
    ),
    click.option(
        "--on-crash",
        type=click.Choice(["raise", "replace"]),
        help="Whether the death of a worker ends the call with an error, or another worker "
        "replaces it at once; needs --workers. Default: raise.",
    ),
    click.option(
        "--sessions",
        metavar="N",
        type=click.IntRange(min=1),
        help="Serve so many clients at once, each with its own environment, made when it "
        "connects. Default: one environment, for one client at a time.",
    ),
    *ENDPOINT_OPTIONS,
    click.option(
        "--nan",
        type=click.Choice([nan.value for nan in Nan]),
        default=Nan.REJECT.value,
        show_default=True,
        help="What to do about NaN in a Box of floats, in observations and in actions: reject it, "
        "or deliver it.",
    ),
    click.option(
        "--expose",
        metavar="NAME",
        multiple=True,
        help="An attribute or method of the environment that clients may read, set and call. May "
        "be given repeatedly. Default: none.",
    ),
    click.option(
        "--isolation",
        type=click.Choice(["process"]),
        help="Run the environment in a worker process, so that the server lives on when it "
        "crashes or hangs. Default: in the server's process.",
    ),
    click.option(
        "--record",
        metavar="FOLDER",
        help="Keep what happens in each environment in files of this folder, which `rlmesh replay` "
        "repeats. Default: nothing is kept.",
    ),
    click.option(
        "--record-max-bytes",
        metavar="N",
        type=click.IntRange(min=1 << 20),
        help="How many bytes the recordings of that folder may take; what was written first is "
        "removed. Needs --record. Default: there is no limit.",
    ),
    click.option(
        "--record-observations",
        type=click.Choice(["all", "digest"]),
        help="What a recording keeps of each observation: all of it, or 16 bytes that tell it from "
        "others. Needs --record. Default: all.",
    ),
    *LIFE_OPTIONS,
)


@click.command(help=SERVE_HELP, short_help="Serve an environment until a signal ends it.")
@click.argument("env")
@with_options(*LOADING_OPTIONS, *SERVING_OPTIONS)
def serve(**values: Any) -> None:
    """The command `serve`."""
    run_serve(**values)


def run_serve(
    *,
    env: str,
    kwargs: dict[str, Any],
    render_mode: str | None,
    imports: tuple[str, ...],
    num_envs: int | None,
    vectorization_mode: str | None,
    workers: int | None,
    on_crash: Literal["raise", "replace"] | None,
    sessions: int | None,
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
    transports: tuple[str, ...],
    ready_fd: ReadyFd | None,
    validation: str | None,
    nan: str,
    expose: tuple[str, ...],
    isolation: str | None,
    record: str | None,
    record_max_bytes: int | None,
    record_observations: Literal["all", "digest"] | None,
    allow_remote_shutdown: bool,
    idle_timeout_seconds: float | None,
    drain_timeout_seconds: float | None,
    close_timeout_seconds: float | None,
    resume_timeout_seconds: float,
    session_idle_timeout_seconds: float | None,
    call_timeout_seconds: float | None,
    verbose: bool,
) -> None:
    """Serves as the options say; each is what the help of `serve` says of it."""
    if vectorization_mode is not None and num_envs is None:
        raise click.UsageError("--vectorization-mode needs --num-envs.")
    _check_workers(workers, num_envs, vectorization_mode, on_crash, isolation)
    if record is None and (record_max_bytes, record_observations) != (None, None):
        raise click.UsageError("--record-max-bytes and --record-observations need --record.")
    check_direct(direct, address, transports)
    check_metrics(metrics, insecure=insecure)
    tls = server_tls(tls_cert, tls_key, tls_client_ca)
    if not (token or tls or insecure or TOKEN_VARIABLE in os.environ):
        check_reach("drive the environment", address, direct)
    request = EnvRequest(
        name=env,
        kwargs=with_render_mode(kwargs, render_mode),
        imports=imports,
        num_envs=num_envs if workers is None else None,
        vectorization_mode=vectorization_mode or "sync",
    )
    with (
        Output(verbose=verbose) as output,
        failures_on_one_line(verbose=verbose, complain=output.complain),
    ):
        options = read_options(
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
            sessions=sessions,
            validation=validation,
            nan=nan,
            expose=expose,
            isolation=isolation,
            num_envs=num_envs if workers is not None else None,
            workers=workers,
            on_crash=on_crash,
            token=token,
            tls=tls,
            insecure=insecure,
            transports=transports or None,
            direct=None if direct is None else str(direct),
            announce=announce,
            health=None if health is None else str(health),
            metrics=None if metrics is None else str(metrics),
            view=None if view is None else str(view),
            record=record,
            record_max_bytes=record_max_bytes,
            record_observations=record_observations or "all",
        )
        serve_until_ended(
            ServeRequest(
                load=partial(load, request),
                make_server=lambda env: ServedEnv(env, options),
                makes_envs=(sessions, isolation, workers) != (None, None, None),
                ready_fd=ready_fd,
            ),
            output,
        )


def _check_workers(
    workers: int | None,
    num_envs: int | None,
    vectorization_mode: str | None,
    on_crash: str | None,
    isolation: str | None,
) -> None:
    """Refuses workers without sub-environments, and what needs workers without them."""
    if workers is None:
        if on_crash is not None:
            raise click.UsageError("--on-crash needs --workers.")
        return
    if num_envs is None:
        raise click.UsageError("--workers needs --num-envs.")
    if vectorization_mode is not None:
        raise click.UsageError("Give --workers or --vectorization-mode, not both.")
    if isolation is not None:
        raise click.UsageError(
            "Give --workers or --isolation, not both: sub-environments with --workers run in "
            "worker processes already."
        )
    if workers > num_envs:
        raise click.UsageError(
            f"--workers {workers} is more than --num-envs {num_envs}, and each worker has one "
            f"sub-environment or more."
        )


def check_reach(doing: str, *addresses: Address | None) -> None:
    """Refuses an address that is open to everybody; `doing` says to do what."""
    for reached in addresses:
        if not (reached is None or reached.is_loopback):
            raise click.UsageError(
                f"{reached} is reachable from other machines, and everybody who reaches it may "
                f"{doing}; give --token-file to let in those who show the token, and "
                f"--tls-cert and --tls-key to encrypt, or serve on 127.0.0.1 or a Unix socket, or "
                f"add --insecure if everybody on that network is trusted."
            )


def check_metrics(metrics: TcpAddress | None, *, insecure: bool) -> None:
    """Refuses metrics that everybody could read."""
    if not (metrics is None or metrics.is_loopback or insecure):
        raise click.UsageError(
            f"--metrics {metrics} is reachable from other machines, and the metrics know neither a "
            f"token nor TLS; serve them on 127.0.0.1, or add --insecure if everybody on that "
            f"network may read them."
        )


def check_direct(direct: TcpAddress | None, address: Address, transports: tuple[str, ...]) -> None:
    """Refuses a transport `direct` without a port of its own."""
    if transports and ("direct" in transports) != (direct is not None):
        raise click.UsageError(
            "The transport direct needs its own port: give --direct ADDRESS and --transport "
            "direct, or "
            "leave out both, or --transport altogether."
        )
    if direct is not None and direct.port != 0 and direct == address:
        raise click.UsageError(
            f"--direct needs another port than --address, {address}; 0 takes a free one."
        )
