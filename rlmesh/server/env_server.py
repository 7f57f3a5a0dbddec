"""`EnvServer`: puts one environment behind an address."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Any, Literal

from rlmesh.contract import EnvContract
from rlmesh.security import ServerTLS
from rlmesh.server.endpoint_server import EndpointServer
from rlmesh.server.envs.provider import provider_for
from rlmesh.server.options import ServeOptions
from rlmesh.server.rpc.service import EndpointService
from rlmesh.server.server_options import ServerOptions, read_options
from rlmesh.transports.grpc.forks import check_not_forked
from rlmesh.transports.peer import PROTOCOL_GENERATION, this_peer
from rlmesh_api.v1 import env_service_pb2


class EnvServer(EndpointServer):
    """Serves one environment to one client at a time, or to each client its own.

    The constructor binds, so `address` is final from then on; `serve` or `start` begins to answer.

    Example:
        >>> import gymnasium, rlmesh
        >>> with rlmesh.EnvServer(gymnasium.make("CartPole-v1")) as server:
        ...     env = rlmesh.RemoteEnv(server.address)
        ...     observation, info = env.reset(seed=0)
        ...     env.close()

    Args:
        env: A `gymnasium.Env`, a `gymnasium.vector.VectorEnv`, an object of that shape, or a list
            of single environments, which are served as the sub-environments of a vector
            environment. The server closes it when it shuts down. Or a callable that makes any of
            these: then each session has its own environment, called on its own thread and closed
            with the session.
        address: `tcp://HOST:PORT`, `HOST:PORT`, `PORT`, `[IPV6]:PORT` or `unix:///PATH`. Port 0
            chooses a free one. Default: a free port of the loopback.
        host: The host, instead of `address`.
        port: The port, instead of `address`.
        path: The path of a Unix socket, instead of `address`.
        options: How the server behaves at the edges of its life.
        validation: What to do about a value outside of its bounds: `warn`, `strict` or `off`.
            Default: the environment variable `RLMESH_VALIDATION_POLICY`, else `warn`.
        expose: The names of the attributes and methods of the environment that clients may read,
            set and call.
        token: What clients must show before the server answers them. Default: the environment
            variable `RLMESH_TOKEN`; if that is not set, clients show nothing.
        tls: Where the server's certificates are; then connections are encrypted, and clients can
            verify the server. Default: nothing is encrypted.
        insecure: Whether to serve beyond this machine with neither a token nor TLS.
        transports: The names of the transports that clients may use, some of `shm`, `direct` and
            `grpc`, which is always on offer. Default: all that this machine supports.
        direct: Where the transport `direct` listens: a TCP address with its own port. Default:
            nowhere. It is encrypted where `tls` is given.
        announce: A file, or a folder that exists. While the server answers, its address is a line
            of that file, or has its own file in that folder: what clients read as `file:PATH`. An
            address that stands for every interface has the name of this machine there. Default:
            nowhere. Experimental.
        health: A TCP address with its own port, where the health service is answered besides, in
            plaintext and without a token; no other method is. For probes that know no TLS. Default:
            nowhere. Experimental.
        metrics: A TCP address with its own port, where Prometheus reads the metrics at `/metrics`,
            over HTTP, in plaintext and without a token; on the loopback, unless `insecure` is
            given. Default: nowhere. Needs `pip install 'rlmesh[metrics]'`. Experimental.
        view: A TCP address with its own port, where a browser is shown what runs; `8008` stands for
            `127.0.0.1:8008`. A process of its own answers there. The page asks for the token, where
            there is one; beyond this machine without a token only where `insecure` is given.
            Default: nowhere. Needs `pip install 'rlmesh[view]'`. Experimental.
        sessions: How many clients there can be at once, each with its own environment, which `env`,
            a callable, makes when the session begins. Default: one.
        isolation: `process` runs each environment in its own worker process, so that one that
            crashes or hangs does not end the server; `env` must be a callable then. Default: in
            this process.
        num_envs: How many sub-environments a vector environment has, which the server makes of
            `env`: the id of a registered environment, a callable that makes one sub-environment
            each time, or a list of callables. They run in parallel worker processes, as those of
            `rlmesh.make_vec` do. Default: as many as callables in the list, where `workers` is
            given; else `env` is served as it is.
        workers: How many worker processes these have. Default: one for each processor.
        on_crash: What to do about such a worker that has died: `raise` or `replace`, as for
            `rlmesh.make_vec`. Default: `raise`.
        record: A folder, made where there is none, that takes what happens in each environment, as
            `rlmesh.Recorder` keeps it; `rlmesh.replay` repeats it. A full disk ends the recording,
            with a line in the log, and not the server. Default: nowhere. Experimental.
        record_max_bytes: How many bytes the recordings in that folder may take, 1 MiB at least.
            What was written first is removed. Default: there is no limit. Experimental.
        record_observations: `all`, or `digest` for 16 bytes instead of each observation. Default:
            `all`. Experimental.
        nan: `deliver` delivers NaN in a `Box` of floats bit for bit, in observations and in
            actions, whatever `validation` says; the contract says so too. Default: `reject`.

    Raises:
        InvalidEnvError: If `env` has not the form of an environment.
        UnsupportedSpaceError: If one of its spaces cannot be carried.
        InvalidAddressError: If the address is invalid, or cannot be bound on this machine.
        AddressInUseError: If another server listens there.
        InvalidArgumentError: If `validation`, `isolation` or `nan` is an unknown word, `transports`
            holds one, or there are no `sessions`; if there are more `workers` than
            sub-environments.
        ArgumentTypeError: If an argument has the wrong type.
        InvalidCredentialsError: If the token cannot be one, or a certificate cannot be used.
        StateError: If this process is a fork of one that had used gRPC, where a server would hang,
            or if `metrics`, `view` or `record` is given and what it needs is not installed.
        SystemResourceError: If the operating system refuses what is needed, such as a descriptor.
    """

    def __init__(
        self,
        env: Any,
        address: str | None = None,
        *,
        host: str | None = None,
        port: int | None = None,
        path: str | os.PathLike[str] | None = None,
        options: ServeOptions | None = None,
        validation: Literal["warn", "strict", "off"] | None = None,
        expose: Collection[str] = (),
        token: str | None = None,
        tls: ServerTLS | None = None,
        insecure: bool = False,
        transports: Collection[Literal["shm", "direct", "grpc"]] | None = None,
        direct: str | int | None = None,
        announce: str | os.PathLike[str] | None = None,
        health: str | int | None = None,
        metrics: str | int | None = None,
        view: str | int | None = None,
        sessions: int | None = None,
        isolation: Literal["process"] | None = None,
        nan: Literal["reject", "deliver"] = "reject",
        num_envs: int | None = None,
        workers: int | None = None,
        on_crash: Literal["raise", "replace"] | None = None,
        record: str | os.PathLike[str] | None = None,
        record_max_bytes: int | None = None,
        record_observations: Literal["all", "digest"] = "all",
    ) -> None:
        check_not_forked("server")
        self._bind(
            env,
            read_options(
                address=address,
                host=host,
                port=port,
                path=path,
                options=options,
                validation=validation,
                expose=expose,
                token=token,
                tls=tls,
                insecure=insecure,
                transports=transports,
                direct=direct,
                announce=announce,
                health=health,
                metrics=metrics,
                view=view,
                sessions=sessions,
                isolation=isolation,
                nan=nan,
                num_envs=num_envs,
                workers=workers,
                on_crash=on_crash,
                record=record,
                record_max_bytes=record_max_bytes,
                record_observations=record_observations,
            ),
        )

    def _bind(self, env: Any, options: ServerOptions) -> None:
        """Makes the server of checked options, and binds its address."""
        provider = provider_for(
            env, options.sessions, options.isolation, options.envs, options.parallel
        )
        contract = self._contract = provider.contract
        serving = options.serving
        answer = env_service_pb2.GetContractResponse(
            contract=contract.to_proto(),
            server=this_peer(),
            protocol_generation=PROTOCOL_GENERATION,
        )
        self._bind_provider(
            provider,
            lambda manager: EndpointService(
                env_service_pb2.DESCRIPTOR.services_by_name["EnvService"],
                lambda _: answer,
                manager,
                serving.resume_timeout_seconds,
                sorted(options.envs.exposed),
                self._end_by_client if serving.allow_remote_shutdown else None,
                lambda status: status.agents.extend(answer.contract.agents.names),
            ),
            options.endpoint,
            serving,
            lendable=options.isolation is not None,
        )

    @property
    def env_contract(self) -> EnvContract:
        """The contract of the environment, from construction on."""
        return self._contract

    @property
    def spec(self) -> EnvContract:
        """The same as `env_contract`."""
        return self._contract

    def __repr__(self) -> str:
        """The environment, the address and the state."""
        return f"<EnvServer {self._contract.id} at {self.address}, {self._life.state.value}>"
