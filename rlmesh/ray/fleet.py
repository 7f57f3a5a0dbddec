"""`Fleet`: one vector environment of environments that Ray has placed over a cluster."""

from __future__ import annotations

import dataclasses
import os
import secrets
import weakref
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Literal

import gymnasium
from gymnasium.envs.registration import EnvSpec

from rlmesh.client.address_source import AddressSource
from rlmesh.client.connect_options import EnvConnectOptions
from rlmesh.client.multi_endpoint import MultiEndpoint
from rlmesh.client.vector_endpoints import check_on_loss, connect_vector
from rlmesh.client.vector_env import RemoteVectorEnv
from rlmesh.codec.infos.type_guards import is_row
from rlmesh.contract import EnvContract, received_contract
from rlmesh.envs.raised import env_raised
from rlmesh.errors import (
    ArgumentTypeError,
    InvalidArgumentError,
    StateError,
)
from rlmesh.limits import MAX_CONTRACT_BYTES
from rlmesh.parallel.factories import Factory, factories_of
from rlmesh.processes.pickling import pickled
from rlmesh.ray.actors import ServerSpec, this_host
from rlmesh.ray.arguments import (
    check_tls,
    read_count,
    read_seconds,
    read_server_options,
)
from rlmesh.ray.cluster import check_cluster, check_placement, read_resources
from rlmesh.ray.servers import Servers, ServerStatus
from rlmesh.ray.states import states_of
from rlmesh.security import ClientTLS, ServerTLS, token_from
from rlmesh.server.endpoint_server import EndpointServer
from rlmesh.server.env_server import EnvServer
from rlmesh.type_arguments import ActType, ObsType
from rlmesh_api.v1 import contract_pb2

# What a fleet says to its servers itself, besides where they listen and whom they answer.
_OWN_ARGUMENTS = frozenset(("env", "sessions", "num_envs"))
# How long to wait for a session of a server whose last one ends.
_BUSY_SECONDS = 10.0


class Fleet(RemoteVectorEnv[ObsType, ActType]):
    """Drives environments on the nodes of a Ray cluster as one vector environment.

    Ray places a server for every `sessions_per_server` environments and starts it again where it is
    lost; steps cross between this program and the servers directly, over shared memory on one
    machine and TCP between machines. It is a `RemoteVectorEnv` in all else.

    Example:
        >>> import ray, rlmesh.ray
        >>> _ = ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        >>> fleet = rlmesh.ray.Fleet("CartPole-v1", size=2, resources={"CPU": 0.5})
        >>> observations, infos = fleet.reset(seed=0)
        >>> fleet.close()
        >>> ray.shutdown()

    Args:
        factory_or_id: The id or spec of a registered environment, or a callable that makes an
            environment each time. It crosses by cloudpickle, and is called on the nodes.
        size: How many environments there are. Of vector environments each counts as one, and its
            sub-environments stay together.
        sessions_per_server: How many of them one server has, in one process, each on its own
            thread.
        resources: What each server takes of its node, by Ray's names. None: `{"CPU": 1}`.
        placement: `spread` spreads the servers over the nodes, `pack` uses as few as possible.
        runtime_env: The runtime environment of the servers' processes, as Ray reads it. None: that
            of this program.
        server_options: Further arguments of `EnvServer`, such as `expose` or `isolation`.
        start_timeout_seconds: Seconds until all servers must be there.
        token: What this client shows to the servers. None: one that is made for this fleet.
        tls: What this client trusts, for servers with certificates.
        server_tls: Where the servers' certificates are, on every node. Needs `tls`.
        insecure: Whether what crosses to other machines may go unencrypted, the token too. Without
            it and without TLS, a server on another machine is refused.
        on_loss: What to do about a server that is gone. `replace` ends only the episodes of its
            environments: once it is started again they come back reset and truncated, named in the
            infos under `rlmesh.env.replaced`, with their seeds under `rlmesh.env.seed`. `raise`
            raises, and the next reset goes on with the server that was started again.
        connect_timeout_seconds: Seconds to wait for a lost server to come back.
        request_timeout_seconds: Seconds until each call must have been answered. None: no limit.
        transport: The transport to use where it is available, `shm`, `direct` or `grpc`. None: the
            value of the environment variable `RLMESH_TRANSPORT`, or else the fastest available.
        copy: Whether observations are copies that the caller may keep.
        autoreset: When environments shall reset themselves, `next_step`, `same_step` or `disabled`.
            None: at the next step; vector environments as they do.
        expect: The contract that the caller's code was written for, or the path of a file with it.
            None: the `expected_contract` of the class.
        reconnect: Whether the client connects again when a connection breaks.
        max_contract_bytes: The memory that the spaces of a contract may take, in bytes.
        compression: How large messages cross a network: as they are (`none`), by a lossless
            compression (`lz4`, `zstd`), or by whichever of these is the fastest, as measured for
            each kind of call (`auto`). Without effect on the transport `shm`. Needs
            `pip install 'rlmesh[compression]'` on both sides. Experimental.
        render_mode: The render mode that the environments must have been made with. None: any.
        batch_size: For how many sub-environments `recv` waits. None: for all.

    Raises:
        StateError: If this program is connected to no Ray cluster; if the package for `compression`
            is missing here or at a server.
        InvalidArgumentError: If the nodes do not have the resources, or an argument is out of its
            range.
        ArgumentTypeError: If an argument has the wrong type, or the callable cannot be pickled.
        InvalidCredentialsError: If the token cannot be one, only one of `tls` and `server_tls` is
            given, or a server is on another machine without TLS.
        RemoteEnvError: If the environment cannot be made on a node; it has the traceback and names
            the node.
        ContractMismatchError: If the servers do not serve the same, or not what is expected.
        EndpointUnreachableError: If not all servers are there in time.
        RlmeshError: What `RemoteVectorEnv` and, on the nodes, `EnvServer` raise.
        gymnasium.error.Error: If no environment of that id is registered.
    """

    def __init__(
        self,
        factory_or_id: str | EnvSpec | Callable[[], Any],
        *,
        size: int,
        sessions_per_server: int = 1,
        resources: Mapping[str, float] | None = None,
        placement: Literal["spread", "pack"] = "spread",
        runtime_env: dict[str, Any] | None = None,
        server_options: Mapping[str, Any] | None = None,
        start_timeout_seconds: float = 120.0,
        token: str | None = None,
        tls: ClientTLS | None = None,
        server_tls: ServerTLS | None = None,
        insecure: bool = False,
        on_loss: Literal["raise", "replace"] = "replace",
        connect_timeout_seconds: float = 60.0,
        request_timeout_seconds: float | None = None,
        transport: Literal["shm", "direct", "grpc"] | None = None,
        copy: bool = True,
        autoreset: Literal["next_step", "same_step", "disabled"]
        | gymnasium.vector.AutoresetMode
        | None = None,
        expect: EnvContract | str | os.PathLike[str] | None = None,
        reconnect: bool = True,
        max_contract_bytes: int = MAX_CONTRACT_BYTES,
        compression: Literal["none", "lz4", "zstd", "auto"] = "none",
        render_mode: str | None = None,
        batch_size: int | None = None,
    ) -> None:
        # Until the connection stands there is nothing that Gymnasium's __del__ could close.
        self.closed: bool = True
        self._size = read_count("size", size)
        self._per_server = read_count("sessions_per_server", sessions_per_server)
        self._start_timeout = read_seconds("start_timeout_seconds", start_timeout_seconds)
        self._lost_timeout = read_seconds("connect_timeout_seconds", connect_timeout_seconds)
        check_on_loss(on_loss)
        check_tls(tls, server_tls)
        secret = secrets.token_urlsafe(32) if token is None else token
        # Checks it, with the other arguments, before anything is started.
        token_from(secret, {})
        options = EnvConnectOptions.read(
            vector=None,
            connect_timeout_seconds=connect_timeout_seconds,
            request_timeout_seconds=request_timeout_seconds,
            busy_timeout_seconds=_BUSY_SECONDS,
            transport=transport,
            copy=copy,
            token=secret,
            tls=tls,
            insecure=insecure,
            expect=expect,
            expected_contract=self.expected_contract,
            reconnect=reconnect,
            max_contract_bytes=max_contract_bytes,
            compression=compression,
            render_mode=render_mode,
            autoreset=autoreset,
        )
        self._options = options
        serve = _ServeEnv(
            _factory(factory_or_id),
            self._per_server,
            read_server_options(EnvServer, server_options, _OWN_ARGUMENTS),
        )
        spec = ServerSpec(
            serve=pickled(serve, f"Fleet: what makes the environments, {factory_or_id!r:.80},"),
            host=this_host(),
            token=secret,
            tls=server_tls,
            insecure=insecure,
            raised=env_raised,
        )
        wanted, where = read_resources(resources), check_placement(placement)
        check_cluster()
        self._servers = Servers(
            spec,
            resources=wanted,
            placement=where,
            runtime_env=runtime_env,
            tls=tls,
            read_contract=_read_contract,
        )
        # At each reset `_follow` goes on with the servers that are there then. Where lost ones are
        # replaced, that is done already.
        self._source: AddressSource | None = self._servers if on_loss == "raise" else None
        # A fleet that is dropped without close() must not hold its nodes for ever. With the program
        # Ray ends the actors.
        self._servers_end = weakref.finalize(self, self._servers.end)
        self._servers_end.atexit = False
        try:
            with self._servers.resized(self._sessions(self._size), self._start_timeout):
                each = _read_contract(self._servers.contracts[0]).num_envs
                count = self._size * each
                self._connect(
                    connect_vector(None, self._servers, options, count, on_loss), batch_size
                )
        except BaseException:
            self._servers_end()
            raise

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses that the sub-environments use now, in their order.

        Of a vector environment the address stands there once.
        """
        return tuple(self._client.address)

    def status(self) -> tuple[ServerStatus, ...]:
        """What each server is doing; any thread may ask.

        Returns:
            A row for each server.

        Raises:
            StateError: If the fleet is closed.
        """
        steps: Counter[str] = Counter()
        for address, count in self._client.step_counts():
            steps[address] += count
        return tuple(
            dataclasses.replace(row, steps=steps[row.address])
            for row in states_of(self._servers, self._options.credentials)
        )

    def scale(self, size: int) -> None:
        """Changes how many environments there are; the next call must be a reset.

        `num_envs` and the batched spaces change with it. The environments that stay are the first
        ones, and keep their servers.

        Args:
            size: How many there shall be.

        Raises:
            StateError: If the fleet is closed.
            InvalidArgumentError: If the cluster has no room for so many, or `size` is less than 1
                or less than `batch_size`.
            ArgumentTypeError: If it is no integer.
            EndpointUnreachableError: If not all servers are there in time.
            RlmeshError: Why a server could not be made; all is as before then.
        """
        if self.closed:
            raise StateError("the fleet is closed; make another one")
        size = read_count("size", size)
        each = self.num_envs // self._size
        if self._batch_size is not None and size * each < self._batch_size:
            raise InvalidArgumentError(
                f"size={size} leaves {size * each} sub-environments, and recv() waits for "
                f"batch_size={self._batch_size} of them; give a larger size"
            )
        self._async_steps.discard()
        with self._servers.resized(self._sessions(size), self._start_timeout):
            self._client.follow(self._servers.addresses_of_all(self._lost_timeout))
            self._size = size
            self._describe()

    def close_extras(self, **kwargs: Any) -> None:
        """Ends the sessions and then the servers; `close` calls this.

        Args:
            **kwargs: Ignored, as by `RemoteVectorEnv`.
        """
        super().close_extras(**kwargs)
        self._servers_end()

    @property
    def _client(self) -> MultiEndpoint:
        client = self._env_client
        assert isinstance(client, MultiEndpoint)  # noqa: S101 - a source makes no other
        return client

    def _follow(self, source: AddressSource) -> None:
        """Drives the servers that are there now, once all are."""
        if not self.closed:
            self._servers.addresses_of_all(self._lost_timeout)
            super()._follow(source)

    def _sessions(self, size: int) -> list[int]:
        """How many environments each server has."""
        whole, rest = divmod(size, self._per_server)
        return [self._per_server] * whole + ([rest] if rest else [])


class _ServeEnv:
    """Makes an `EnvServer` in an actor; see `actors.Serve`."""

    def __init__(self, factory: Factory, sessions: int, options: dict[str, Any]) -> None:
        self._factory = factory
        self._sessions = sessions
        self._options = options

    def __call__(self, **endpoint: Any) -> tuple[EndpointServer, tuple[bytes, ...]]:
        server = EnvServer(self._factory, sessions=self._sessions, **self._options, **endpoint)
        return server, (server.env_contract.to_proto().SerializeToString(deterministic=True),)


def _factory(given: object) -> Factory:
    if is_row(given):
        raise ArgumentTypeError(
            "a fleet has one callable that makes all its environments, or one id, got a list"
        )
    (factory,) = factories_of(given, None, None, {})
    return factory


def _read_contract(message: bytes) -> EnvContract:
    return received_contract(contract_pb2.EnvContract.FromString(message))
