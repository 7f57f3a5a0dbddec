"""`Models`: replicas of a model on the nodes of a Ray cluster, and clients spread over them."""

from __future__ import annotations

import contextlib
import inspect
import secrets
import time
import weakref
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Literal

from typing_extensions import Self

from rlmesh.address import parse_address
from rlmesh.client.connect_diagnosis import is_listening
from rlmesh.client.expected_contract import check_unchanged
from rlmesh.client.model import RemoteModel
from rlmesh.contract import ModelContract, received_model_contract
from rlmesh.envs.raised import model_raised
from rlmesh.errors import (
    ContractMismatchError,
    EndpointError,
    EndpointUnreachableError,
    StateError,
)
from rlmesh.processes.pickling import pickled
from rlmesh.ray.actors import ServerSpec, this_host
from rlmesh.ray.arguments import check_tls, read_count, read_seconds, read_server_options
from rlmesh.ray.cluster import check_cluster, check_placement, read_resources
from rlmesh.ray.servers import Servers, ServerStatus
from rlmesh.ray.states import states_of
from rlmesh.security import ClientTLS, ServerTLS, credentials_from
from rlmesh.server.endpoint_server import EndpointServer
from rlmesh.server.model_worker import ModelWorker
from rlmesh_api.v1 import contract_pb2

# How long a look may take whether a replica listens.
_LOOK_SECONDS = 0.5
# How often to look again where none is there.
_PAUSE_SECONDS = 0.1


class Models:
    """Replicas of a model on the nodes of a Ray cluster.

    Each replica is a `ModelWorker` with many sessions. `client` opens a session with the replica
    that has the fewest. Observations and actions cross between this program and the replicas
    directly. Ray starts a replica again that is lost.

    Example:
        >>> import numpy, ray, rlmesh.ray
        >>> from gymnasium.spaces import Box, Discrete
        >>> _ = ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        >>> spaces = {"observation_space": Box(-1, 1, (3,)), "action_space": Discrete(2)}
        >>> models = rlmesh.ray.Models(
        ...     lambda observation: 1, replicas=2, resources={"CPU": 0.5}, server_options=spaces
        ... )
        >>> with models, models.client() as model:
        ...     action = model.predict(numpy.zeros(3, numpy.float32))
        >>> ray.shutdown()

    Args:
        model: What `ModelWorker` takes; or a class, of which each replica makes an instance. It
            crosses by cloudpickle.
        replicas: How many replicas there are.
        resources: What each takes of its node, by Ray's names. None: `{"CPU": 1}`.
        placement: `spread` spreads the replicas over the nodes, `pack` uses as few as possible.
        runtime_env: The runtime environment of their processes, as Ray reads it. None: that of this
            program.
        server_options: Further arguments of `ModelWorker`, such as `observation_space`, `sessions`
            or `isolation`.
        start_timeout_seconds: Seconds until all replicas must be there.
        connect_timeout_seconds: Seconds to wait for a lost replica to come back, where no other is
            there.
        token: What clients show. None: one that is made for these replicas.
        tls: What clients trust, for replicas with certificates.
        server_tls: Where the replicas' certificates are, on every node. Needs `tls`.
        insecure: Whether what crosses to other machines may go unencrypted, the token too. Without
            it and without TLS, a replica on another machine is refused.

    Raises:
        StateError: If this program is connected to no Ray cluster.
        InvalidArgumentError: If the nodes do not have the resources, or an argument is out of its
            range.
        ArgumentTypeError: If an argument has the wrong type, or the model cannot be pickled.
        InvalidCredentialsError: If the token cannot be one, only one of `tls` and `server_tls` is
            given, or a replica is on another machine without TLS.
        RemoteModelError: If the model cannot be made on a node; it has the traceback and names the
            node.
        ContractMismatchError: If the replicas do not serve the same.
        EndpointUnreachableError: If not all replicas are there in time.
        RlmeshError: What `ModelWorker` raises on the nodes.
    """

    def __init__(
        self,
        model: Any,
        *,
        replicas: int,
        resources: Mapping[str, float] | None = None,
        placement: Literal["spread", "pack"] = "spread",
        runtime_env: dict[str, Any] | None = None,
        server_options: Mapping[str, Any] | None = None,
        start_timeout_seconds: float = 120.0,
        connect_timeout_seconds: float = 60.0,
        token: str | None = None,
        tls: ClientTLS | None = None,
        server_tls: ServerTLS | None = None,
        insecure: bool = False,
    ) -> None:
        count = read_count("replicas", replicas)
        self._start_timeout = read_seconds("start_timeout_seconds", start_timeout_seconds)
        self._lost_timeout = read_seconds("connect_timeout_seconds", connect_timeout_seconds)
        check_tls(tls, server_tls)
        self._token = secrets.token_urlsafe(32) if token is None else token
        self._tls, self._insecure = tls, insecure
        self._credentials = credentials_from(self._token, tls, {}, insecure=insecure)
        serve = _ServeModel(model, read_server_options(ModelWorker, server_options, ("model",)))
        spec = ServerSpec(
            serve=pickled(serve, f"Models: the model, {model!r:.80},"),
            host=this_host(),
            token=self._token,
            tls=server_tls,
            insecure=insecure,
            raised=model_raised,
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
        # The clients, so that each new one has the replica with the fewest.
        self._clients: weakref.WeakSet[_ReplicaModel] = weakref.WeakSet()
        # Replicas that are dropped without close() must not hold their nodes for ever. With the
        # program Ray ends the actors.
        self._end = weakref.finalize(self, self._servers.end)
        self._end.atexit = False
        try:
            with self._servers.resized([1] * count, self._start_timeout):
                pass
        except BaseException:
            self._end()
            raise

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses of the replicas that are there."""
        return tuple(self._servers.addresses())

    def client(self, **options: Any) -> RemoteModel[Any, Any]:
        """Opens a session with the replica that has the fewest sessions of this object.

        Args:
            **options: The other arguments of `rlmesh.RemoteModel`.

        Returns:
            The client. Where its replica is lost, its next reset goes on with another one.

        Raises:
            RlmeshError: What `rlmesh.RemoteModel` raises.
            EndpointUnreachableError: If no replica is there.
            StateError: If the replicas were closed.
        """
        options = {"token": self._token, "tls": self._tls, "insecure": self._insecure, **options}
        client = _ReplicaModel(self._least_used, options)
        self._clients.add(client)
        return client

    def status(self) -> tuple[ServerStatus, ...]:
        """What each replica is doing; any thread may ask.

        Returns:
            A row for each replica. `steps` are the calls that it has answered in the sessions that
            it has now.

        Raises:
            StateError: If the replicas were closed.
        """
        return states_of(self._servers, self._credentials)

    def scale(self, replicas: int) -> None:
        """Changes how many replicas there are.

        The clients of those that end are as those of a lost replica.

        Args:
            replicas: How many there shall be.

        Raises:
            StateError: If the replicas were closed.
            InvalidArgumentError: If the cluster has no room for so many, or it is less than 1.
            ArgumentTypeError: If it is no integer.
            EndpointUnreachableError: If not all replicas are there in time.
            RlmeshError: Why a replica could not be made; all is as before then.
        """
        if not self._end.alive:
            raise StateError("the replicas were closed; make others")
        with self._servers.resized([1] * read_count("replicas", replicas), self._start_timeout):
            pass

    def close(self) -> None:
        """Ends the clients and the replicas. May be called repeatedly."""
        for client in list(self._clients):
            client.close()
        self._end()

    def __enter__(self) -> Self:
        """The object itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends the clients and the replicas."""
        self.close()

    def _least_used(self) -> str:
        """The address of the replica with the fewest clients, of those that are there."""
        deadline = time.monotonic() + self._lost_timeout
        while True:
            found: list[str] = []
            with contextlib.suppress(EndpointUnreachableError):
                found = [each for each in self._servers.addresses() if _listens(each)]
            if found:
                used = [each.replica for each in self._clients]
                return min(found, key=used.count)
            if time.monotonic() >= deadline:
                raise EndpointUnreachableError(
                    f"no replica of the model is there within {self._lost_timeout:g} s; status() "
                    f"says what became of them"
                )
            time.sleep(_PAUSE_SECONDS)


class _ReplicaModel(RemoteModel[Any, Any]):
    """A session with one of several replicas; `Models.client` opens it.

    Args:
        choose: Returns the address of a replica.
        options: The other arguments of `RemoteModel`.
    """

    def __init__(self, choose: Callable[[], str], options: dict[str, Any]) -> None:
        self._choose = choose
        self._given = options
        super().__init__(choose(), **options)

    @property
    def replica(self) -> str:
        """The address of the replica; empty where the client is closed."""
        return "" if self._client.closed else self._client.address

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Begins an episode, with another replica where this one is lost."""
        if self._is_lost():
            self._move()
        try:
            super().reset(seed, options)
        except EndpointError:
            if not self._is_lost():
                raise
            self._move()
            super().reset(seed, options)

    def _is_lost(self) -> bool:
        """Whether the session is over and nothing listens where the replica was."""
        client = self._client
        if client.closed or client.lost is None:
            return False
        return not _listens(client.address)

    def _move(self) -> None:
        """Opens a session with another replica, which serves the same."""
        before = self.model_contract
        self.close()
        super().__init__(self._choose(), **self._given)
        try:
            check_unchanged(before, self._client.address, self.model_contract)
        except ContractMismatchError:
            self.close()
            raise


class _ServeModel:
    """Makes a `ModelWorker` in an actor; see `actors.Serve`."""

    def __init__(self, model: Any, options: dict[str, Any]) -> None:
        self._model = model
        self._options = options

    def __call__(self, **endpoint: Any) -> tuple[EndpointServer, tuple[bytes, ...]]:
        makes = inspect.isclass(self._model) and self._options.get("isolation") is None
        model = self._model() if makes else self._model
        server = ModelWorker(model, **self._options, **endpoint)
        contracts = server.model_contracts.values()
        return server, tuple(
            contract.to_proto().SerializeToString(deterministic=True) for contract in contracts
        )


def _listens(address: str) -> bool:
    return is_listening(parse_address(address), _LOOK_SECONDS)


def _read_contract(message: bytes) -> ModelContract:
    return received_model_contract(contract_pb2.ModelContract.FromString(message))
