"""The arguments of an `EnvServer`, checked once and then passed on whole."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Literal

from rlmesh.address import Address, TcpAddress, address_from
from rlmesh.codec.checks.conformance import Nan, policy_from
from rlmesh.errors import (
    ArgumentTypeError,
    InvalidAddressError,
    InvalidArgumentError,
    StateError,
)
from rlmesh.security import ServerTLS, token_from
from rlmesh.server.announcement import Announcement
from rlmesh.server.envs.attributes import check_exposed
from rlmesh.server.envs.options import EnvOptions, ParallelOptions, RecordOptions
from rlmesh.server.options import ServeOptions
from rlmesh.server.rpc.listeners import check_transports
from rlmesh.server.rpc.options import EndpointOptions
from rlmesh.server.view_process import check_installed
from rlmesh.transports.tls import ServerIdentity


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """What an `EnvServer` is given besides its environment.

    Attributes:
        endpoint: Where clients connect, and which clients are let in.
        envs: How each environment is served.
        serving: When calls, sessions and the server end.
        sessions: How many clients there can be at once; None: one.
        isolation: `process` for environments in worker processes; None: in this process.
        parallel: How to make a vector environment of parallel sub-environments; None: the
            environment is served as it is.
    """

    endpoint: EndpointOptions
    envs: EnvOptions
    serving: ServeOptions = field(default_factory=ServeOptions)
    sessions: int | None = None
    isolation: str | None = None
    parallel: ParallelOptions | None = None


def read_options(
    *,
    address: str | None = None,
    host: str | None = None,
    port: int | None = None,
    path: str | os.PathLike[str] | None = None,
    options: ServeOptions | None = None,
    validation: str | None = None,
    expose: Collection[str] = (),
    token: str | None = None,
    tls: ServerTLS | None = None,
    insecure: bool = False,
    transports: Collection[str] | None = None,
    direct: str | int | None = None,
    announce: str | os.PathLike[str] | None = None,
    health: str | int | None = None,
    metrics: str | int | None = None,
    view: str | int | None = None,
    sessions: int | None = None,
    isolation: str | None = None,
    nan: str = "reject",
    num_envs: int | None = None,
    workers: int | None = None,
    on_crash: Literal["raise", "replace"] | None = None,
    record: str | os.PathLike[str] | None = None,
    record_max_bytes: int | None = None,
    record_observations: Literal["all", "digest"] = "all",
) -> ServerOptions:
    """Checks the arguments of an `EnvServer`, which documents each; raises what it raises."""
    serving = check_serving(options)
    policy = policy_from(validation, os.environ)
    delivers_nan = Nan.parse(nan) is Nan.DELIVER
    endpoint = read_endpoint(
        "drive the environment",
        address=address,
        host=host,
        port=port,
        path=path,
        token=token,
        tls=tls,
        insecure=insecure,
        transports=transports,
        direct=direct,
        announce=announce,
        health=health,
        metrics=metrics,
        view=view,
    )
    return ServerOptions(
        endpoint=endpoint,
        envs=EnvOptions(
            policy=policy,
            exposed=check_exposed(expose),
            delivers_nan=delivers_nan,
            counts_episodes=metrics is not None,
            record=_record(record, record_max_bytes, record_observations),
        ),
        serving=serving,
        sessions=sessions,
        isolation=isolation,
        parallel=_parallel(num_envs, workers, on_crash, isolation),
    )


def read_endpoint(
    doing: str,
    *,
    address: str | None = None,
    host: str | None = None,
    port: int | None = None,
    path: str | os.PathLike[str] | None = None,
    token: str | None = None,
    tls: ServerTLS | None = None,
    insecure: bool = False,
    transports: Collection[str] | None = None,
    direct: str | int | None = None,
    openpi: str | int | None = None,
    announce: str | os.PathLike[str] | None = None,
    health: str | int | None = None,
    metrics: str | int | None = None,
    view: str | int | None = None,
) -> EndpointOptions:
    """Checks where a server shall answer, and whom.

    Args:
        doing: What a client may do, for the message: `drive the environment`.
        address: As `EnvServer` documents it; so are all that follow.
        host: Likewise.
        port: Likewise.
        path: Likewise.
        token: Likewise.
        tls: Likewise.
        insecure: Likewise.
        transports: Likewise.
        direct: Likewise.
        openpi: As `ModelWorker` documents it.
        announce: As `EnvServer` documents it.
        health: Likewise.
        metrics: Likewise.
        view: Likewise.

    Raises:
        InvalidAddressError: If the address is invalid, or open to everybody.
        InvalidArgumentError: If `transports` holds an unknown word, or the address cannot be
            announced there.
        ArgumentTypeError: If an argument has the wrong type.
        InvalidCredentialsError: If the token cannot be one, or a certificate cannot be used.
        StateError: If `metrics` is given and prometheus-client is not installed.
    """
    bind_address = address_from(address, host=host, port=port, path=path)
    names = check_transports(transports, direct)
    direct_address = None if direct is None else _tcp_address("direct", direct)
    openpi_address = None if openpi is None else _tcp_address("openpi", openpi)
    if not (tls is None or isinstance(tls, ServerTLS)):
        raise ArgumentTypeError(f"tls must be a rlmesh.ServerTLS or None, got {type(tls).__name__}")
    secret = token_from(token, os.environ)
    if secret is None and tls is None and not insecure:
        _refuse_open_endpoint(doing, bind_address, direct_address, openpi_address)
    metrics_address = None if metrics is None else _tcp_address("metrics", metrics)
    if metrics_address is not None:
        _check_metrics(metrics_address, insecure=insecure)
    view_address = None if view is None else _tcp_address("view", view)
    if view_address is not None:
        _check_view(view_address, open_to_all=secret is None and not insecure)
    return EndpointOptions(
        address=bind_address,
        direct=direct_address,
        openpi=openpi_address,
        health=None if health is None else _tcp_address("health", health),
        metrics=metrics_address,
        view=view_address,
        transports=names,
        announcement=None if announce is None else Announcement(announce),
        token=secret,
        identity=None if tls is None else ServerIdentity(tls),
    )


def check_serving(options: object) -> ServeOptions:
    """The options of a server's life, those by default where none are given.

    Raises:
        ArgumentTypeError: If they are something else.
    """
    if options is None:
        return ServeOptions()
    if not isinstance(options, ServeOptions):
        raise ArgumentTypeError(f"options must be a rlmesh.ServeOptions, got {options!r}")
    return options


def _parallel(
    num_envs: int | None,
    workers: int | None,
    on_crash: Literal["raise", "replace"] | None,
    isolation: str | None,
) -> ParallelOptions | None:
    if num_envs is None and workers is None:
        if on_crash is not None:
            raise InvalidArgumentError(
                f"on_crash={on_crash!r} is for the workers of parallel sub-environments; give "
                f"num_envs= or workers= too"
            )
        return None
    if isolation is not None:
        raise InvalidArgumentError(
            f"isolation={isolation!r} does not go with num_envs= and workers=: those "
            f"sub-environments run in worker processes already; leave isolation out"
        )
    return ParallelOptions(num_envs=num_envs, workers=workers, on_crash=on_crash or "raise")


def _record(
    folder: str | os.PathLike[str] | None,
    max_bytes: int | None,
    observations: Literal["all", "digest"],
) -> RecordOptions | None:
    if folder is None:
        if max_bytes is not None or observations != "all":
            raise InvalidArgumentError(
                "record_max_bytes= and record_observations= are for what record= records; give "
                "record= too"
            )
        return None
    from rlmesh.recording.container import mcap
    from rlmesh.recording.parts import check_folder
    from rlmesh.recording.recorded_env import check_observations

    # What is missing is said before anything is served.
    mcap("writer")
    check_observations(observations)
    return RecordOptions(
        folder=check_folder(folder, max_bytes), max_bytes=max_bytes, observations=observations
    )


def _refuse_open_endpoint(doing: str, *addresses: Address | None) -> None:
    for address in addresses:
        if not (address is None or address.is_loopback):
            raise InvalidAddressError(
                f"{address} is reachable from other machines, and everybody who reaches it may "
                f"{doing}; pass token= to let in only clients that show it, and "
                f"tls=rlmesh.ServerTLS(...) to encrypt, or serve on 127.0.0.1 or a Unix socket, or "
                f"pass insecure=True if everybody on that network is trusted"
            )


def _check_metrics(address: TcpAddress, *, insecure: bool) -> None:
    if not (address.is_loopback or insecure):
        raise InvalidAddressError(
            f"metrics={str(address)!r} is reachable from other machines, and the metrics know "
            f"neither a token nor TLS: everybody who reaches the address may read them. Serve them "
            f"on 127.0.0.1, or pass insecure=True if everybody on that network may"
        )
    if importlib.util.find_spec("prometheus_client") is None:
        raise StateError(
            "metrics= needs prometheus-client, which is not installed; run `pip install "
            "'rlmesh[metrics]'`"
        )


def _check_view(address: TcpAddress, *, open_to_all: bool) -> None:
    if open_to_all and not address.is_loopback:
        raise InvalidAddressError(
            f"view={str(address)!r} is reachable from other machines, and everybody who reaches it "
            f"would see what runs; pass token=, for which the page asks, or show it on 127.0.0.1, "
            f"or pass insecure=True if everybody on that network may see it"
        )
    check_installed()


def _tcp_address(name: str, given: Any) -> TcpAddress:
    address = address_from(str(given) if isinstance(given, int) else given)
    if not isinstance(address, TcpAddress):
        raise InvalidAddressError(f"{name} must be a TCP address, got {address}")
    return address
