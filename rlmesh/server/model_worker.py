"""`ModelWorker`: puts one model or several behind an address."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Literal, Protocol

from rlmesh.adapters.placement import applied_here
from rlmesh.address import TcpAddress
from rlmesh.codec.checks.conformance import policy_from
from rlmesh.codec.infos.type_guards import is_mapping
from rlmesh.contract import ModelContract
from rlmesh.counts import check_count
from rlmesh.errors import InvalidArgumentError, InvalidModelError, StateError, SystemResourceError
from rlmesh.security import ServerTLS
from rlmesh.server.endpoint_server import EndpointServer
from rlmesh.server.lifecycle import State
from rlmesh.server.models.local import LocalMaker
from rlmesh.server.models.options import ModelOptions, read_model_options
from rlmesh.server.models.process.factory import check_isolation
from rlmesh.server.models.process.maker import ProcessMaker
from rlmesh.server.models.provider import ModelProvider
from rlmesh.server.models.served_model import Maker, ServedModel
from rlmesh.server.options import ServeOptions
from rlmesh.server.rpc.listeners import OtherListener
from rlmesh.server.rpc.options import EndpointOptions
from rlmesh.server.rpc.service import EndpointService
from rlmesh.server.server_options import check_serving, read_endpoint
from rlmesh.server.sessions.manager import SessionManager
from rlmesh.transports.grpc.forks import check_not_forked
from rlmesh.transports.peer import PROTOCOL_GENERATION, this_peer
from rlmesh_api.v1 import model_service_pb2


class ModelWorker(EndpointServer):
    """Serves a model, or several, to many clients at once.

    Each client has a session: its own state and its own random numbers. The model is called on one
    thread, for all requests together that wait. The constructor binds, so `address` is final from
    then on; `serve` or `start` begins to answer.

    Example:
        >>> import numpy, rlmesh
        >>> from gymnasium.spaces import Box, Discrete
        >>> def policy(observation):
        ...     return int(observation.sum() > 0)
        >>> spaces = {"observation_space": Box(-1, 1, (3,)), "action_space": Discrete(2)}
        >>> with rlmesh.ModelWorker(policy, **spaces) as worker:
        ...     with rlmesh.RemoteModel(worker.address) as model:
        ...         action = model.predict(numpy.ones(3, numpy.float32))

    Args:
        model: An object with `observation_space` and `action_space`, those of one step, and with
            `predict`, `predict_batch`, `predict_chunk` or `predict_chunk_batch`; those that it
            lacks are derived from those that it has. What takes a batch is given a stack of
            observations, and returns a stack. It may have `reset`, `close`, `warmup`, `horizon`
            (the actions of a chunk), `keeps_state`, `id` and `metadata`. A parameter `context`
            takes a `ModelContext`. Or a callable that is given an observation and returns an
            action, with both spaces as arguments here. Or a mapping of names to any of these. The
            worker closes models when it shuts down.
        address: `tcp://HOST:PORT`, `HOST:PORT`, `PORT`, `[IPV6]:PORT` or `unix:///PATH`. Port 0
            chooses a free one. Default: a free port of the loopback.
        host: The host, instead of `address`.
        port: The port, instead of `address`.
        path: The path of a Unix socket, instead of `address`.
        observation_space: The space of one observation, in place of the model's own.
        action_space: The space of one action, in place of the model's own.
        options: How the worker behaves at the edges of its life.
        validation: What to do about a value outside of its bounds: `warn`, `strict` or `off`.
            Default: the environment variable `RLMESH_VALIDATION_POLICY`, else `warn`.
        token: What clients must show before the worker answers them. Default: the environment
            variable `RLMESH_TOKEN`; if that is not set, clients show nothing.
        tls: Where the worker's certificates are; then connections are encrypted, and clients can
            verify the worker. Default: nothing is encrypted.
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
        openpi: Where clients of openpi are answered besides: a TCP address with its own port, for
            websockets. Default: nowhere. Needs `pip install 'rlmesh[openpi]'`. Token, TLS and
            `insecure` are as for `address`.
        sessions: How many clients there can be at once, of all models together. With 1, the model's
            own thread receives the client's calls, which saves two changes of threads.
        max_batch_size: The most observations that a model computes at once. Default: as many as
            wait.
        batch_wait_seconds: For how many seconds a request waits for others to be computed with it,
            while there are sessions that could ask. 0: only for those that the model has just
            answered, as long as they ask again at once; a lone client never waits.
        queue_limit: How many requests may wait for a model; a further one is refused at once.
            Default: no limit but that of the sessions.
        warmup: Whether the model's `warmup`, if it has one, is called before health says SERVING.
        isolation: `process` has each model live in a worker process, which `model` makes it in:
            here a callable without arguments, such as the model's class, or a mapping of names to
            such callables. A model that crashes or hangs leaves the server alive: the requests in
            flight fail, and another process replaces that one. Default: models live in this
            process.

    Raises:
        InvalidModelError: If `model` has not the form of a model.
        UnsupportedSpaceError: If one of its spaces cannot be carried.
        InvalidAddressError: If the address is invalid, or cannot be bound on this machine.
        AddressInUseError: If another server listens there.
        InvalidArgumentError: If `validation` is an unknown word, `transports` holds one, or a
            number is out of its range.
        ArgumentTypeError: If an argument has the wrong type, or the callable that makes a model
            cannot be sent to another process.
        RemoteModelError: If that callable raises; `ModelCrashedError` if its process dies.
        InvalidCredentialsError: If the token cannot be one, or a certificate cannot be used.
        StateError: If this process is a fork of one that had used gRPC, where a worker would hang,
            or if `openpi`, `metrics` or `view` is given and what it needs is not installed.
        SystemResourceError: If the operating system refuses what is needed, such as a descriptor.
    """

    def __init__(
        self,
        model: Any,
        address: str | None = None,
        *,
        host: str | None = None,
        port: int | None = None,
        path: str | os.PathLike[str] | None = None,
        observation_space: Any = None,
        action_space: Any = None,
        options: ServeOptions | None = None,
        validation: Literal["warn", "strict", "off"] | None = None,
        token: str | None = None,
        tls: ServerTLS | None = None,
        insecure: bool = False,
        transports: Collection[Literal["shm", "direct", "grpc"]] | None = None,
        direct: str | int | None = None,
        announce: str | os.PathLike[str] | None = None,
        health: str | int | None = None,
        metrics: str | int | None = None,
        view: str | int | None = None,
        openpi: str | int | None = None,
        sessions: int = 64,
        max_batch_size: int | None = None,
        batch_wait_seconds: float = 0.0,
        queue_limit: int | None = None,
        warmup: bool = True,
        isolation: Literal["process"] | None = None,
    ) -> None:
        check_not_forked("server")
        serving = check_serving(options)
        model_options = read_model_options(
            policy=policy_from(validation, os.environ),
            max_batch_size=max_batch_size,
            batch_wait_seconds=batch_wait_seconds,
            queue_limit=queue_limit,
            warmup=warmup,
        )
        endpoint = read_endpoint(
            "ask the model",
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
            openpi=openpi,
            metrics=metrics,
            view=view,
        )
        spaces = {"observation_space": observation_space, "action_space": action_space}
        make = ProcessMaker if check_isolation(isolation) else LocalMaker
        models = _served(model, make(spaces, model_options), model_options)
        self._bind_models(models, check_count("sessions", sessions) or 1, endpoint, serving)

    def _bind_models(
        self,
        models: dict[str, ServedModel],
        sessions: int,
        endpoint: EndpointOptions,
        serving: ServeOptions,
    ) -> None:
        self._warming = set(models)
        # Which models have lost their process. `_ready_lock` guards it, and what health says of it.
        self._down: set[str] = set()
        self._ready_lock = threading.Lock()
        self._warm = threading.Event()
        self._failure: BaseException | None = None
        self._gateway: Gateway | None = None
        openpi = endpoint.openpi
        provider = self._models = ModelProvider(models, sessions)
        self._bind_provider(
            provider,
            lambda manager: EndpointService(
                model_service_pb2.DESCRIPTOR.services_by_name["ModelService"],
                _contract_answers(provider),
                manager,
                serving.resume_timeout_seconds,
                shutdown=self._end_by_client if serving.allow_remote_shutdown else None,
                complete=provider.describe,
            ),
            endpoint,
            serving,
            names=models,
            models=provider.statuses,
            beside=None if openpi is None else partial(self._bind_gateway, openpi, endpoint),
        )

    def _bind_gateway(
        self, address: TcpAddress, endpoint: EndpointOptions, manager: SessionManager
    ) -> Gateway:
        gateway = self._gateway = _gateway_class()(
            address,
            endpoint,
            self._models,
            manager,
            lambda: self._rpc_server.serving.is_set() and not manager.draining,
        )
        return gateway

    @property
    def openpi_address(self) -> str | None:
        """The URL for clients of openpi, resolved, or None where they are not answered."""
        return None if self._gateway is None else self._gateway.url

    @property
    def model_contracts(self) -> Mapping[str, ModelContract]:
        """The contract of each model by its name, from construction on."""
        return MappingProxyType(
            {name: served.contract for name, served in self._models.models.items()}
        )

    @property
    def model_contract(self) -> ModelContract:
        """The contract of the only model, from construction on.

        Raises:
            InvalidModelError: If several models are served.
        """
        contracts = list(self.model_contracts.values())
        if len(contracts) > 1:
            raise InvalidModelError(
                f"this worker serves the models {', '.join(self.model_contracts)}; "
                f"model_contracts has the contract of each"
            )
        return contracts[0]

    def serve(self) -> None:
        """Answers clients until the worker is shut down; the model is called on this thread.

        Each of several models is called on its own thread. Signals and limits are as for
        `EnvServer.serve`.

        Raises:
            StateError: If the worker was started or shut down before.
            SystemResourceError: If too few descriptors are free. The worker is as before.
            BaseException: What the model's `warmup` raised; the worker has shut down then.
        """
        super().serve()
        if self._failure is not None:
            raise self._failure

    def start(self) -> None:
        """Begins to answer clients, and returns once the models are warmed up.

        Each model is called on its own thread. Health and status are answered meanwhile. A program
        that ends without a shutdown is shut down by its end.

        Raises:
            StateError: If the worker was started or shut down before.
            SystemResourceError: If too few descriptors are free. The worker is as before.
            BaseException: What a model's `warmup` raised; the worker has shut down then.
        """
        super().start()
        self._warm.wait()
        if self._failure is not None:
            self._life.wait(None)
            raise self._failure

    def reload(self, model: Any, name: str | None = None) -> int:
        """Replaces a model by another one, without a failed call.

        The other model is warmed up on its own thread, while the old one answers. Then episodes
        begin with the new one; an episode that has begun keeps the old one until its next reset.
        The old one is closed when no episode has it any more. Where this raises, the old one goes
        on.

        Args:
            model: The other model, of the same contract; with `isolation` a callable that makes it.
            name: Which model it replaces; None: the only one.

        Returns:
            The number of the version that answers from now on; the first one is 1.

        Raises:
            StateError: If the worker does not serve.
            InvalidArgumentError: If there is no such model.
            InvalidModelError: If it has not the form of a model.
            ContractMismatchError: If its contract is another one.
            BaseException: What its `warmup` raises.
            RlmeshError: What the constructor raises of a callable that makes it.
        """
        if self._life.state is not State.SERVING:
            raise StateError(f"reload: the worker is {self._life.state.value}")
        served = self._models.find(name or "")
        if served is None:
            raise InvalidArgumentError(
                f"name={name!r:.80}: this worker serves the models "
                f"{', '.join(self.model_contracts)}; name one of them"
            )
        version = served.reload(model)
        if self._life.state is not State.SERVING:
            # The worker has ended meanwhile, and knew nothing of this version.
            version.retire()
        return version.number

    def _begin_to_serve(self) -> None:
        """Has the models warm up; health says SERVING of each that is."""
        for name, served in self._models.models.items():
            served.current.on_ready = partial(self._set_ready, name)
            served.current.warm_up(self._warmed(name))

    def _set_ready(self, name: str, ready: bool) -> None:
        """Has health say whether a model answers, and whether all do. Any thread may call it."""
        with self._ready_lock:
            (self._down.discard if ready else self._down.add)(name)
            if ready:
                self._rpc_server.serve([name])
                if not self._down and not self._warming:
                    self._rpc_server.serve()
            else:
                self._rpc_server.pause([name] if len(self._models.models) > 1 else None)

    def _warmed(self, name: str) -> Callable[[BaseException | None], None]:
        def then(error: BaseException | None) -> None:
            if error is not None:
                self._failure = error
                self._life.end(f"the model {name} could not be warmed up")
                self._warm.set()
                return
            self._rpc_server.serve([name])
            self._warming.discard(name)
            if not self._warming and self._failure is None:
                try:
                    self._rpc_server.serve()
                except SystemResourceError as unannounced:
                    self._failure = unannounced
                    self._life.end("its address could not be announced")
                self._warm.set()

        return then

    def __repr__(self) -> str:
        """The models, the address and the state."""
        names = ", ".join(self.model_contracts)
        return f"<ModelWorker {names} at {self.address}, {self._life.state.value}>"


class Gateway(OtherListener, Protocol):
    """What answers clients of openpi; see `rlmesh.server.openpi.gateway`."""

    @property
    def url(self) -> str:
        """Where they connect."""
        ...


def _gateway_class() -> Callable[..., Gateway]:
    try:
        from rlmesh.server.openpi.gateway import OpenpiGateway
    except ImportError as error:
        raise StateError(
            "openpi= needs websockets, which is not installed; run `pip install 'rlmesh[openpi]'`"
        ) from error
    return OpenpiGateway


def _served(model: Any, maker: Maker, options: ModelOptions) -> dict[str, ServedModel]:
    named: dict[str | None, Any] = {None: model}
    if is_mapping(model):
        named = dict(model)
        if not named:
            raise InvalidModelError("a mapping of models must have one or more, got none")
        for name in named:
            if not isinstance(name, str) or not name:
                raise InvalidModelError(
                    f"the name of a model must be a str that is not empty, got {name!r:.80}"
                )
    served: dict[str, ServedModel] = {}
    try:
        for name, each in named.items():
            model_of_name = ServedModel(each, name, maker, options)
            served[model_of_name.contract.id] = model_of_name
    except BaseException:
        for other in served.values():
            other.current.discard()
        raise
    return served


def _contract_answers(
    provider: ModelProvider,
) -> Callable[
    [model_service_pb2.ModelServiceGetContractRequest],
    model_service_pb2.ModelServiceGetContractResponse,
]:
    def answer(
        request: model_service_pb2.ModelServiceGetContractRequest,
    ) -> model_service_pb2.ModelServiceGetContractResponse:
        served = provider.find(request.model)
        return model_service_pb2.ModelServiceGetContractResponse(
            contract=None if served is None else served.contract.to_proto(),
            server=this_peer(),
            protocol_generation=PROTOCOL_GENERATION,
            models=sorted(provider.models),
            adapter_steps=applied_here(),
        )

    return answer
