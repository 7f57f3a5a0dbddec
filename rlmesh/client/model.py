"""`RemoteModel`: asks a model that lives behind an address."""

from __future__ import annotations

import os
import weakref
from collections.abc import Sequence
from types import TracebackType
from typing import Any, ClassVar, Generic, Literal, NoReturn

from typing_extensions import Self

from rlmesh.adapters.adapter import Adapter
from rlmesh.client.adapted_model_client import AdaptedModelClient, Predicts
from rlmesh.client.connect_options import read_common
from rlmesh.client.expected_contract import read_adapter_steps, read_env, read_expected_model
from rlmesh.client.model_endpoint import ModelConnectOptions
from rlmesh.client.stats import PredictionStats
from rlmesh.client.traced_clients import connect_model
from rlmesh.contract import EnvContract, ModelContract, contract_html
from rlmesh.errors import ArgumentTypeError
from rlmesh.limits import MAX_CONTRACT_BYTES
from rlmesh.security import ClientTLS
from rlmesh.type_arguments import ActType, ObsType
from rlmesh_api.contract import Adaptation, AdapterStep, Space


class RemoteModel(Generic[ObsType, ActType]):
    """Asks a served model what to do, as if it were local.

    It is one session with the model: other clients of the same model neither see nor change its
    state and its random numbers. Values are NumPy's, exactly as the spaces of the contract declare
    them, and the caller's to keep and to write on.

    Example:
        >>> import numpy, rlmesh
        >>> from gymnasium.spaces import Box, Discrete
        >>> spaces = {"observation_space": Box(-1, 1, (3,)), "action_space": Discrete(2)}
        >>> worker = rlmesh.ModelWorker(lambda observation: 1, **spaces)
        >>> with worker, rlmesh.RemoteModel(worker.address) as model:
        ...     model.reset(seed=0)
        ...     action = model.predict(numpy.zeros(3, numpy.float32))

    Args:
        address: The worker's address, `tcp://HOST:PORT` or `unix:///PATH`.
        model: The name of the model, where the worker serves several. None: the only one.
        expect: The contract that the caller's code was written for, or the path of a file with it.
            Connecting fails where the model's contract breaks it. None: the `expected_contract`
            of the class.
        env: The environment that the model is to drive: a client of it, itself, its contract, or
            the path of a file with that. Connecting fails where one gives what the other does not
            take, after the steps, and the error lists every difference. None: any.
        steps: The steps between the two, as the functions of `rlmesh.adapters` make them, or an
            `Adaptation`. Observations are then those of the environment, and so are actions. The
            worker applies those that make values larger, if it can; `adapter.sides` says which.
            None: those that the model's contract has where `env` is given, else none.
        connect_timeout_seconds: Seconds until the worker must have answered. A worker that is not
            up yet is tried again until then. None: no limit.
        request_timeout_seconds: Seconds until each call must have been answered. None: no limit.
        transport: The transport to use if it is available, `shm`, `direct` or `grpc`. None: the
            value of the environment variable `RLMESH_TRANSPORT`, or else the fastest available.
        copy: Whether actions are copies that the caller may keep. False saves the copy: the arrays
            are read-only views, which are valid until the next call.
        token: The token that the worker asks for. None: the value of the environment variable
            `RLMESH_TOKEN`, if it is set.
        tls: The authorities to trust, and the client's certificate, for a worker that uses TLS.
            None: the connection is not encrypted.
        insecure: Whether a token may cross a network that is not encrypted.
        busy_timeout_seconds: Seconds to wait for a session where other clients hold all. 0: do not
            wait. None: no limit.
        reconnect: Whether the client connects again when the connection breaks. While the worker
            keeps the session, the episode goes on, and the model sees each observation once. Where
            the session is gone, `reset` opens another. False: the call raises, and so does every
            later one.
        max_contract_bytes: The memory that the spaces of a contract may take, in bytes.
        compression: How large messages cross a network: as they are (`none`), by a lossless
            compression (`lz4`, `zstd`), or by whichever of these is the fastest, as measured for
            each kind of call (`auto`). Without effect on the transport `shm`. Needs
            `pip install 'rlmesh[compression]'` on both sides. Experimental.

    Raises:
        InvalidAddressError: If a client cannot connect to such an address.
        EndpointUnreachableError: If no worker answers in time.
        EndpointBusyError: If other clients hold every session, until the busy timeout.
        WrongEndpointKindError: If the endpoint is an environment.
        InvalidCredentialsError: If the token cannot be one or would cross a network in plaintext,
            or if a certificate cannot be used.
        AuthenticationError: If the worker does not know this client.
        TlsError: If no trusted connection can be made.
        ContractMismatchError: If the model is not what is expected, or does not fit `env`.
        InvalidArgumentError: If a timeout is negative, `max_contract_bytes` is not positive,
            `transport` or `compression` is an unknown word, no such model is served, a file holds
            no contract, or there are steps without `env`.
        ProtocolError: If what answers does not speak RLMesh, or if its contract would take more
            than `max_contract_bytes`.
        ArgumentTypeError: If an argument has the wrong type.
        StateError: If this process is a fork of one that had used gRPC, where a client would hang;
            if the package for `compression` is missing here or at the server.
    """

    expected_contract: ClassVar[ModelContract | None] = None
    """The contract to expect where `expect` is None; for subclasses."""

    def __init__(
        self,
        address: str,
        *,
        model: str | None = None,
        expect: ModelContract | str | os.PathLike[str] | None = None,
        env: EnvContract | Any = None,
        steps: Adaptation | Sequence[AdapterStep] | None = None,
        connect_timeout_seconds: float | None = 10.0,
        request_timeout_seconds: float | None = None,
        transport: Literal["shm", "direct", "grpc"] | None = None,
        copy: bool = True,
        token: str | None = None,
        tls: ClientTLS | None = None,
        insecure: bool = False,
        busy_timeout_seconds: float | None = 0.0,
        reconnect: bool = True,
        max_contract_bytes: int = MAX_CONTRACT_BYTES,
        compression: Literal["none", "lz4", "zstd", "auto"] = "none",
    ) -> None:
        if not (model is None or isinstance(model, str)):
            raise ArgumentTypeError(f"model must be the name of a model or None, got {model!r:.80}")
        env_contract = read_env(env)
        options = ModelConnectOptions(
            **read_common(
                connect_timeout_seconds=connect_timeout_seconds,
                request_timeout_seconds=request_timeout_seconds,
                busy_timeout_seconds=busy_timeout_seconds,
                transport=transport,
                copy=copy,
                token=token,
                tls=tls,
                insecure=insecure,
                reconnect=reconnect,
                max_contract_bytes=max_contract_bytes,
                compression=compression,
            ),
            model=model,
            expected=read_expected_model(expect, self.expected_contract),
            env=env_contract,
            steps=read_adapter_steps(steps, env_contract),
        )
        self._client = connect_model(address, options)
        # A client that is dropped without close() must not hold its session for ever.
        self._finalizer = weakref.finalize(self, self._client.close)
        # At the end of the program the client closes itself.
        self._finalizer.atexit = False
        self.model_contract: ModelContract = self._client.contract
        self.adapter: Adapter | None = self._client.adapter
        adapter, applied = self.adapter, self._client.applied
        self._asked: Predicts = (
            self._client
            if adapter is None or applied is None
            else AdaptedModelClient(self._client, adapter, applied)
        )

    @property
    def observation_space(self) -> Space:
        """The space of the observations that `predict` takes; with steps the environment's."""
        adapter, contract = self.adapter, self.model_contract
        return contract.observation_space if adapter is None else adapter.env_observation_space

    @property
    def action_space(self) -> Space:
        """The space of the actions that it returns; with steps the environment's."""
        adapter, contract = self.adapter, self.model_contract
        return contract.action_space if adapter is None else adapter.env_action_space

    @property
    def transport(self) -> str:
        """The transport in use, `shm`, `direct` or `grpc`."""
        return self._client.transport

    @property
    def version(self) -> int:
        """Which version of the model answers until the next reset; 1 until it is loaded again."""
        return self._client.version

    @property
    def notices(self) -> tuple[dict[str, Any], ...]:
        """What RLMesh has to say about this session's actions, each notice once.

        Returns:
            Dicts, the oldest first, with the key `rlmesh.conformance.warning`: an action outside
            its space was delivered; `kind`, `path`, `env_index` (the place in a chunk or a batch)
            and `detail`. Each is also logged, to `rlmesh.client`.
        """
        return tuple(self._client.notices.kept)

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Begins an episode: another state, another generator, the newest version of the model.

        Args:
            seed: An integer from 0, on which the model's random numbers depend; None: any.
            options: Options for the model; they travel as infos do.

        Raises:
            ArgumentTypeError: If seed or options have the wrong type.
            InvalidArgumentError: If the seed is negative.
            RemoteModelError: If the model raised.
            CallTimeoutError: If the answer did not come in time.
            ConnectionLostError: If the connection broke, and `reconnect` is false.
            SessionLostError: If it broke, and the session is gone; a reset opens another.
            EndpointDrainingError: If the worker is shutting down.
            ProtocolError: If the worker sent what it should not.
        """
        self._asked.reset(seed, options)

    def predict(self, observation: ObsType) -> ActType:
        """Asks the model for the action that follows an observation.

        Args:
            observation: A member of the model's observation space, or what can be read as one
                exactly.

        Returns:
            The action. Of a model that gives chunks only, the first action of the chunk.

        Raises:
            InvalidObservationError: If the space does not hold the observation. The model was not
                called.
            InvalidActionError: If the model returned an action that its space does not hold.
            RemoteModelError: If the model raised.
            CallTimeoutError: If the answer did not come in time.
            EndpointError: If something is wrong with the worker or the way to it:
            EndpointBusyError: As many requests wait as the worker allows.
            ConnectionLostError: The connection broke, and `reconnect` is false.
            SessionLostError: It broke, and the session is gone; a reset opens another.
            EndpointDrainingError: The worker is shutting down.
            ProtocolError: The worker sent what it should not.
            StateError: If a call of a model that keeps state was given up before, and no reset came
                since, or if an answer was posted for and not taken.
        """
        action: ActType = self._asked.predict(observation)
        return action

    def __call__(self, observation: ObsType) -> ActType:
        """As `predict`."""
        action: ActType = self._asked.predict(observation)
        return action

    def predict_chunk(self, observation: ObsType, *, prefix: Any = None, delay: int = 0) -> Any:
        """Asks the model for the next `horizon` actions.

        Args:
            observation: As for `predict`.
            prefix: For a model that plans on from its last chunk, as `model_contract.takes_prefix`
                says: the actions of that chunk that are not executed yet, stacked, 1 to `horizon`
                of them. None: there are none. `rlmesh.Chunks` gives it.
            delay: Where `model_contract.takes_delay` says so: how many of these actions will be
                executed before the new chunk is used, 0 to `horizon`.

        Returns:
            The actions, stacked along a new first axis, `(horizon, *shape)`; of a Text in a tuple.

        Raises:
            RlmeshError: What `predict` raises.
            InvalidArgumentError: If the model takes no prefix or no delay, or the action space does
                not hold the prefix.
            ArgumentTypeError: If the delay is no integer.
        """
        return self._asked.predict_chunk(observation, prefix, delay)

    def predict_batch(self, observations: Any) -> Any:
        """Asks the model for the actions of several observations, in one exchange.

        Each place of the batch has its own state and its own random numbers in this session, so
        that a batch of the sub-environments of a vector environment goes on as itself.

        Args:
            observations: Observations, stacked as those of a vector environment, or in a list.

        Returns:
            The actions, stacked, as a vector environment takes them.

        Raises:
            RlmeshError: What `predict` raises.
            InvalidArgumentError: If there is no observation.
        """
        return self._asked.predict_batch(observations, chunk=False)

    def predict_chunk_batch(self, observations: Any) -> Any:
        """Asks for the chunks of several observations, in one exchange.

        Args:
            observations: As for `predict_batch`.

        Returns:
            The actions, stacked, `(observations, horizon, *shape)`.

        Raises:
            RlmeshError: What `predict` raises.
            InvalidArgumentError: If there is no observation.
        """
        return self._asked.predict_batch(observations, chunk=True)

    def post(
        self, observation: ObsType, *, chunk: bool = False, prefix: Any = None, delay: int = 0
    ) -> None:
        """Sends an observation and returns; `take` waits for the answer. No other call between.

        Args:
            observation: As for `predict`.
            chunk: Whether a chunk is wanted.
            prefix: With a chunk, as for `predict_chunk`.
            delay: Likewise.

        Raises:
            RlmeshError: What `predict_chunk` raises.
        """
        self._asked.post_prediction(observation, chunk=chunk, prefix=prefix, delay=delay)

    def take(self) -> Any:
        """Waits for the answer to what was posted.

        Returns:
            The action, or the chunk.

        Raises:
            RlmeshError: What `predict` raises.
            StateError: If nothing was posted.
        """
        return self._asked.take_prediction()

    def stats(self) -> dict[str, PredictionStats]:
        """What the calls of this session have cost so far, and where the time went.

        Returns:
            For each kind of call, `predict` and `reset`, counts, bytes and sums of seconds.

        Raises:
            StateError: If the client is closed.
        """
        return self._client.stats()

    def close(self) -> None:
        """Ends the session; the worker goes on. May be called repeatedly."""
        self._finalizer()

    def __enter__(self) -> Self:
        """The client itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends the session."""
        self.close()

    def __repr__(self) -> str:
        """The class, the address and the transport in use."""
        return f"{type(self).__name__}({self._client.address!r}, transport={self.transport!r})"

    def _repr_html_(self) -> str:
        """What notebooks show: which model is asked, where, and by which transport."""
        return contract_html(self.model_contract, {"client": repr(self)})

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Refuses `copy`, `copy.deepcopy` and `pickle`.

        Raises:
            ArgumentTypeError: Always.
        """
        raise ArgumentTypeError(
            "a RemoteModel cannot be copied or pickled: it holds a connection of this process and "
            "one session. Pass on the address, and make another client there"
        )
