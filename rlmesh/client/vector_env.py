"""`RemoteVectorEnv`: a `gymnasium.vector.VectorEnv` whose original lives behind an address."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, ClassVar, Generic, Literal

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import VectorEnv
from typing_extensions import Self

import rlmesh.client.gymnasium_version  # noqa: F401 # pyright: ignore[reportUnusedImport] - it checks it
from rlmesh.client.address_source import AddressSource, source_of
from rlmesh.client.async_steps import AsyncSteps
from rlmesh.client.connect_options import EnvConnectOptions
from rlmesh.client.env_client import EnvClient
from rlmesh.client.exposed_attributes import ExposedAttributes
from rlmesh.client.local_spec import local_metadata, local_spec
from rlmesh.client.multi_endpoint import MultiEndpoint
from rlmesh.client.replacing_endpoints import ReplacingEndpoints
from rlmesh.client.reruns import connect_or_follow
from rlmesh.client.stats import CallStats
from rlmesh.client.sub_env_attributes import SUB_ENV_NAMES, sub_env_attribute
from rlmesh.client.transitions import Transitions
from rlmesh.client.vector_endpoints import check_on_loss, connect_vector
from rlmesh.codec.infos.type_guards import is_row
from rlmesh.contract import EnvContract
from rlmesh.limits import MAX_CONTRACT_BYTES
from rlmesh.parallel.resets import RESET_MASK
from rlmesh.security import ClientTLS
from rlmesh.spaces import to_gymnasium_space
from rlmesh.spaces.batching import batched_gymnasium_space
from rlmesh.type_arguments import ActType, ObsType


class RemoteVectorEnv(
    ExposedAttributes,
    VectorEnv[ObsType, ActType, npt.NDArray[Any]],
    Generic[ObsType, ActType],
):
    """Drives a served vector environment as if it were local.

    Observations, rewards (float64), terminations and truncations (bool) are NumPy's,
    sub-environment axis first, and the caller's to keep and to write on. Sub-environments reset
    themselves as the environment's own do; `autoreset_mode` says when. `np_random` is
    this client's own generator, seeded from the seeds given to `reset`; the
    sub-environments' generators stay with the server.

    Example:
        >>> import gymnasium, rlmesh
        >>> with rlmesh.EnvServer(gymnasium.make_vec("CartPole-v1", 3)) as server:
        ...     envs = rlmesh.RemoteVectorEnv(server.address)
        ...     observations, infos = envs.reset(seed=0)
        ...     actions = envs.action_space.sample()
        ...     observations, rewards, terminations, truncations, infos = envs.step(actions)
        ...     envs.close()

    Args:
        address: The server's address, `tcp://HOST:PORT` or `unix:///PATH`; or a list of addresses,
            whose environments stand side by side: a single environment is a sub-environment, the
            sub-environments of a vector environment stay together. They are asked all at once, so
            that a step takes as long as the slowest of them. When the environment of one fails, the
            others have been called; the next call must be a reset. Or where the addresses stand:
            `file:PATH`, a file with one address a line, or a folder of such files, as the option
            `--announce` of a server writes them; or `dns:NAME:PORT`, all addresses that a name has,
            as those of a headless service of Kubernetes. Without `num_envs`, each reset without a
            mask follows what stands there then: `num_envs` and the spaces change with it. With
            `num_envs`, the constructor waits until there are enough, and what is more replaces lost
            servers. Sources are Experimental.
        connect_timeout_seconds: Seconds until the server must have answered. A server that is not
            up yet is tried again until then. None: no limit.
        request_timeout_seconds: Seconds until each call must have been answered. None: no limit.
        transport: The transport to use if it is available, `shm`, `direct` or `grpc`. None: the
            value of the environment variable `RLMESH_TRANSPORT`, or else the fastest available.
        copy: Whether observations are copies that the caller may keep. False saves the copy: the
            arrays are read-only views, which are valid until the next call.
        token: The token that the servers ask for. None: the value of the environment variable
            `RLMESH_TOKEN`, if it is set.
        tls: The authorities to trust, and the client's certificate, for servers that use TLS.
            None: the connection is not encrypted.
        insecure: Whether a token may cross a network that is not encrypted.
        autoreset: When sub-environments shall reset themselves, `next_step`, `same_step` or
            `disabled`, where that is not the environment's own mode. None: as the environment does;
            single environments, of a list of addresses, at the next step.
        expect: The contract that the caller's code was written or trained for, or the path of a
            file with it. Connecting fails where an endpoint's contract breaks it. None: the
            `expected_contract` of the class.
        busy_timeout_seconds: Seconds to wait for a session where other clients hold all. 0: do not
            wait. None: no limit.
        reconnect: Whether the client connects again when the connection breaks. While the server
            keeps the session, the episode goes on, and each call is executed once. Where the
            session is gone, `reset` opens another. False: the call raises, and so does every later
            one.
        max_contract_bytes: The memory that the spaces of a contract may take, in bytes, so that a
            server cannot fill this process with a few bytes. The arrays of bounds count by their
            size, and each space as 32 KiB besides. Experimental.
        compression: How large messages cross a network: as they are (`none`), by a lossless
            compression (`lz4`, `zstd`), or by whichever of these is the fastest, as measured for
            each kind of call (`auto`). Without effect on the transport `shm`. Needs
            `pip install 'rlmesh[compression]'` on both sides. Experimental.
        num_envs: How many sub-environments there must be, as `gymnasium.make_vec` passes it on
            where a client is registered. Of a server of single environments at one address, so many
            sessions become the sub-environments. None: as many as are served.
        render_mode: The render mode that the environments must have been made with. None: any.
        batch_size: For how many sub-environments `recv` waits. None: for all. Experimental.
        on_loss: What to do about a server that is gone for good. `raise` raises, and the next reset
            connects again. `replace` connects to the first other address of the list or source that
            no sub-environment uses, or to the same address once a server is back there: the
            sub-environments of the lost server come back reset and truncated, named in the infos
            under `rlmesh.env.replaced`, with their seeds under `rlmesh.env.seed`, and no other
            episode is touched. Where `num_envs` is less than the list has, the rest of the list is
            for that. The step waits for the replacement, `connect_timeout_seconds` at most.
            Experimental.

    Raises:
        InvalidAddressError: If a client cannot connect to such an address, or a file holds what is
            no address, or half of a line.
        EndpointUnreachableError: If no server answers in time, or no address stands in a source.
        EndpointBusyError: If other clients hold every session, until the busy timeout.
        WrongEndpointKindError: If the endpoint is a single environment.
        ContractMismatchError: If an endpoint is not what is expected.
        InvalidArgumentError: If a timeout is negative, `max_contract_bytes` is not positive,
            `transport`, `compression` or `on_loss` is an unknown word, or `expect` names no file
            with a contract; if `autoreset` is no mode, or one that is not available; if the
            environments of several addresses differ in their spaces or modes; if there are not
            `num_envs` sub-environments, or they have another render mode; if `batch_size` is more
            than there are sub-environments.
        InvalidCredentialsError: If the token cannot be one or would cross a network in plaintext,
            or if a certificate cannot be used.
        AuthenticationError: If the server does not know this client.
        TlsError: If no trusted connection can be made.
        ProtocolError: If what answers does not speak RLMesh, or if its contract would take more
            than `max_contract_bytes`.
        SystemResourceError: If this process has too few free descriptors.
        ArgumentTypeError: If an argument has the wrong type.
        StateError: If this process is a fork of one that had used gRPC, where a client would hang;
            if the package for `compression` is missing here or at the server.
    """

    expected_contract: ClassVar[EnvContract | None] = None
    """The contract to expect where `expect` is None; for subclasses."""

    _source: AddressSource | None

    # What `_describe` sets, for each set of servers.
    env_contract: EnvContract
    env_contracts: tuple[EnvContract, ...]
    num_envs: int
    single_observation_space: gymnasium.Space[Any]
    single_action_space: gymnasium.Space[Any]
    observation_space: gymnasium.Space[ObsType]
    action_space: gymnasium.Space[ActType]
    metadata: dict[str, Any]
    autoreset_mode: gymnasium.vector.AutoresetMode | None
    render_mode: str | None
    spec: EnvSpec | None

    def __init__(
        self,
        address: str | Sequence[str],
        *,
        connect_timeout_seconds: float | None = 10.0,
        request_timeout_seconds: float | None = None,
        transport: Literal["shm", "direct", "grpc"] | None = None,
        copy: bool = True,
        token: str | None = None,
        tls: ClientTLS | None = None,
        insecure: bool = False,
        autoreset: Literal["next_step", "same_step", "disabled"]
        | gymnasium.vector.AutoresetMode
        | None = None,
        expect: EnvContract | str | os.PathLike[str] | None = None,
        busy_timeout_seconds: float | None = 0.0,
        reconnect: bool = True,
        max_contract_bytes: int = MAX_CONTRACT_BYTES,
        compression: Literal["none", "lz4", "zstd", "auto"] = "none",
        num_envs: int | None = None,
        render_mode: str | None = None,
        batch_size: int | None = None,
        on_loss: Literal["raise", "replace"] = "raise",
    ) -> None:
        # Until the connection stands there is nothing that Gymnasium's __del__ could close.
        self.closed: bool = True
        source = source_of(address)
        check_on_loss(on_loss)
        options = EnvConnectOptions.read(
            vector=True if source is None and not is_row(address) else None,
            connect_timeout_seconds=connect_timeout_seconds,
            request_timeout_seconds=request_timeout_seconds,
            busy_timeout_seconds=busy_timeout_seconds,
            transport=transport,
            copy=copy,
            token=token,
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
        # What the sub-environments follow at each reset; their number is fixed where it was given.
        self._source = source if num_envs is None else None
        self._connect(
            connect_or_follow(
                lambda options: connect_vector(address, source, options, num_envs, on_loss),
                address,
                options,
            ),
            batch_size,
        )

    def _connect(self, env_client: EnvClient | MultiEndpoint, batch_size: int | None) -> None:
        """Drives what a client is connected to."""
        self._env_client = env_client
        self._batch_size = batch_size
        try:
            self._describe()
        except BaseException:
            self._env_client.close()
            raise
        # An environment that is dropped without close() must not hold its session for ever.
        self._finalizer = weakref.finalize(self, self._env_client.close)
        # At the end of the program the call client closes itself.
        self._finalizer.atexit = False
        self.closed = False

    def _describe(self) -> None:
        """Has the attributes say what is driven."""
        self._async_steps = AsyncSteps(self._env_client, self._batch_size)
        contract = self._env_client.contract
        self.env_contract = contract
        self.env_contracts = (
            self._env_client.contracts
            if isinstance(self._env_client, MultiEndpoint)
            else (contract,)
        )
        self.num_envs = self._env_client.num_envs
        self.single_observation_space = to_gymnasium_space(contract.observation_space)
        self.single_action_space = to_gymnasium_space(contract.action_space)
        self.observation_space = (
            to_gymnasium_space(contract.batched_observation_space)
            if contract.batched_observation_space is not None
            else batched_gymnasium_space(contract.observation_space, self.num_envs)
        )
        self.action_space = (
            to_gymnasium_space(contract.batched_action_space)
            if contract.batched_action_space is not None
            else batched_gymnasium_space(contract.action_space, self.num_envs)
        )
        self.metadata = local_metadata(contract, self._env_client.mode)
        self.autoreset_mode = self.metadata.get("autoreset_mode")
        self.render_mode = contract.render_mode
        self.spec = local_spec(contract)
        self._seeds: list[int] = [-1] * self.num_envs

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override] # as SyncVectorEnv has it
        """The seed of each sub-environment's last seeded reset; -1 for one without."""
        client = self._env_client
        since = client.replaced_seeds if isinstance(client, ReplacingEndpoints) else {}
        return tuple(since.get(env_index, seed) for env_index, seed in enumerate(self._seeds))

    @property
    def transport(self) -> str:
        """The transport in use, `shm`, `direct` or `grpc`."""
        return self._env_client.transport

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | npt.NDArray[Any] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[ObsType, dict[str, Any]]:
        """Resets the sub-environments.

        Args:
            seed: An integer from 0; or a list, tuple or array with one of them or None for each
                sub-environment; or None.
            options: Options for the environment; they travel as infos do. With autoreset disabled,
                `reset_mask`, a bool array of shape `(num_envs,)`, says which sub-environments to
                reset. It is taken out of the dict, as Gymnasium's own vector environments take it.

        Returns:
            The observations and the infos.

        Raises:
            ArgumentTypeError: If seed or options have the wrong type.
            InvalidArgumentError: If a seed is negative, or seeds are not as many as
                sub-environments.
            InvalidObservationError: If the environment returned an observation that its space does
                not hold.
            InvalidResultError: If the environment returned a result of another form.
            RemoteEnvError: If the environment raised.
            CallTimeoutError: If the answer did not come in time.
            ConnectionLostError: If the connection broke, and `reconnect` is false.
            SessionLostError: If it broke, and the episode is gone; a reset starts another.
            EndpointUnreachableError: If no server took the place of a lost one in time, or no
                address stands in the source any more.
            InvalidAddressError: If what stands there cannot be read as addresses.
            EndpointDrainingError: If the server is shutting down.
            ProtocolError: If the server sent what it should not.
        """
        self._async_steps.discard()
        if self._source is not None and not (options and RESET_MASK in options):
            self._follow(self._source)
        returned = self._env_client.reset(seed, options)
        # What a wrapper does afterwards depends on whether the mask is still there.
        mask = None if options is None else options.pop("reset_mask", None)
        if seed is not None:
            self._seed_generator(seed, mask)
        return returned

    def step(
        self, actions: ActType
    ) -> tuple[
        ObsType,
        npt.NDArray[np.float64],
        npt.NDArray[np.bool_],
        npt.NDArray[np.bool_],
        dict[str, Any],
    ]:
        """Steps every sub-environment.

        Args:
            actions: A member of `action_space`, or what can be read as one exactly.

        Returns:
            Observations, rewards (float64, shape `(num_envs,)`), terminations and truncations
            (bool, shape `(num_envs,)`), and infos.

        Raises:
            InvalidActionError: If the action space does not hold the actions. The environment was
                not called.
            InvalidObservationError: If the environment returned an observation that its space does
                not hold.
            InvalidResultError: If the environment returned a result of another form.
            RemoteEnvError: If the environment raised.
            CallTimeoutError: If the answer did not come in time.
            ConnectionLostError: If the connection broke, and `reconnect` is false.
            SessionLostError: If it broke, and the episode is gone; a reset starts another.
            EndpointUnreachableError: If no server took the place of a lost one in time.
            EndpointDrainingError: If the server is shutting down.
            ProtocolError: If the server sent what it should not.
            StateError: If a call was given up before, and no reset came since.
        """
        # Stations 1 and 12 of a step, as in `RemoteEnv.step`.
        return self._env_client.step(actions)

    def step_async(self, actions: ActType) -> None:
        """Has every sub-environment step, and returns at once; `step_wait` gives the results.

        Args:
            actions: A member of `action_space`, or what can be read as one exactly.

        Raises:
            RlmeshError: As for `step`, if the step cannot be sent.
            StateError: If results of steps were not taken; it is Gymnasium's
                `AlreadyPendingCallError`.
        """
        self._async_steps.step_async(actions)

    def step_wait(
        self, timeout: float | None = None
    ) -> tuple[
        ObsType,
        npt.NDArray[np.float64],
        npt.NDArray[np.bool_],
        npt.NDArray[np.bool_],
        dict[str, Any],
    ]:
        """Waits for the results of the steps that `step_async` began.

        Args:
            timeout: For how many seconds; None: as long as `request_timeout_seconds` says.

        Returns:
            What `step` returns.

        Raises:
            RlmeshError: As for `step`.
            CallTimeoutError: If they are not there in time; the next call must be a reset.
            StateError: If `step_async` was not called; it is Gymnasium's `NoAsyncCallError`.
        """
        return self._async_steps.step_wait(timeout)

    def send(
        self, actions: ActType, env_ids: Sequence[int] | npt.NDArray[Any] | None = None
    ) -> None:
        """Has some sub-environments step, and returns at once; `recv` gives their results.

        The sub-environments of one server are stepped apart where it serves them in workers of its
        own (`EnvServer(..., num_envs=, workers=)`); those of one of several addresses together.

        Args:
            actions: A member of the single action space, batched for as many sub-environments.
            env_ids: Their numbers, in the order of the actions; None: all.

        Raises:
            ArgumentTypeError: If the numbers are no integers.
            InvalidArgumentError: If there is no sub-environment of that number, one is named
                twice, or they are stepped together and only some are named.
            InvalidActionError: If that space does not hold the actions.
            StateError: If the results of one of them were not taken; it is Gymnasium's
                `AlreadyPendingCallError`.
        """
        self._async_steps.send(actions, env_ids)

    def recv(
        self, timeout: float | None = None
    ) -> tuple[
        ObsType,
        npt.NDArray[np.float64],
        npt.NDArray[np.bool_],
        npt.NDArray[np.bool_],
        dict[str, Any],
    ]:
        """Waits for the first `batch_size` sub-environments that are done.

        Args:
            timeout: For how many seconds; None: no limit.

        Returns:
            What `step` returns, of these sub-environments. Their numbers stand in
            `info["env_id"]`, int64 of shape `(batch_size,)`.

        Raises:
            RlmeshError: As for `step`.
            CallTimeoutError: If they are not there in time.
            StateError: If fewer than `batch_size` sub-environments were sent an action; it is
                Gymnasium's `NoAsyncCallError`.
        """
        return self._async_steps.recv(timeout)

    def step_many(self, actions: Iterable[ActType]) -> Transitions:
        """Steps every sub-environment for one batch of actions after the other, in one exchange.

        It does what a loop of `step` does: every action, observation and info is checked and
        reported as there. With autoreset disabled it ends with the first step that ends the episode
        of a sub-environment, and does not use the actions after it. `request_timeout_seconds` holds
        for all of them together.

        Args:
            actions: Members of `action_space`, one or more.

        Returns:
            What the steps gave, stacked; one for each step that was made.

        Raises:
            RlmeshError: What `step` raises, for the first step that fails. The steps
                before it were made; the error's `transitions` holds their results.
            InvalidArgumentError: If there is no action.
        """
        return self._env_client.step_many(actions)

    def stats(self) -> dict[str, CallStats]:
        """What the calls of this session have cost so far, and where the time went.

        Returns:
            For each kind of call, such as `step`, counts, bytes and sums of seconds.

        Raises:
            StateError: If the client is closed.
        """
        return self._env_client.stats()

    def render(self) -> Any:
        """Renders the environment.

        Returns:
            What the environment's `render` returns, mostly a tuple with a frame for each
            sub-environment.

        Raises:
            RemoteEnvError: If the environment raised, or has no `render`.
            CallTimeoutError: If the answer did not come in time.
            ConnectionLostError: If the connection broke, and `reconnect` is false.
            SessionLostError: If it broke, and the episode is gone; a reset starts another.
            EndpointDrainingError: If the server is shutting down.
            ProtocolError: If the server sent what it should not.
        """
        return self._env_client.render()

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Calls a method of every sub-environment, or reads an attribute, if the server exposes it.

        Args:
            name: The method's name, or one of those that `get_attr` needs no server for.
            *args: Positional arguments, of types that infos can hold.
            **kwargs: Keyword arguments, likewise.

        Returns:
            What each sub-environment returned.

        Raises:
            ArgumentTypeError: If an argument cannot travel.
            UnexposedAttributeError: If the server does not expose the name. It is an
                `AttributeError`.
            InvalidArgumentError: If the environment has no `call`, or a value cannot travel.
            RemoteEnvError: If the method raised.
        """
        if name in SUB_ENV_NAMES:
            return sub_env_attribute(name, self.env_contracts, self.np_random_seed)
        results: tuple[Any, ...] = self._env_client.call_method(name, args, kwargs)
        return results

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """Reads an attribute of every sub-environment, if the server exposes it.

        Args:
            name: The attribute's name. `spec`, `metadata`, `render_mode` and `np_random_seed` are
                known to the client: what the contracts say, and the seeds of the last resets.

        Returns:
            The attribute of each sub-environment.

        Raises:
            ArgumentTypeError: If the name is no text.
            UnexposedAttributeError: If the server does not expose the name. It is an
                `AttributeError`.
            InvalidArgumentError: If the environment has no `get_attr`, or a value cannot travel.
            RemoteEnvError: If a sub-environment has no such attribute.
        """
        if name in SUB_ENV_NAMES:
            return sub_env_attribute(name, self.env_contracts, self.np_random_seed)
        values: tuple[Any, ...] = self._env_client.get_attribute(name)
        return values

    def set_attr(self, name: str, values: Any) -> None:
        """Sets an attribute of every sub-environment, if the server exposes it.

        Args:
            name: The attribute's name.
            values: A list or tuple with a value for each sub-environment, or one value for all.

        Raises:
            ArgumentTypeError: If a value cannot travel.
            UnexposedAttributeError: If the server does not expose the name. It is an
                `AttributeError`.
            InvalidArgumentError: If the environment has no `set_attr`.
            RemoteEnvError: If there are not as many values as sub-environments.
        """
        self._env_client.set_attribute(name, values)

    def close_extras(self, **kwargs: Any) -> None:
        """Gives the environment back to its server, which goes on; `close` calls this.

        Args:
            **kwargs: Ignored: how Gymnasium's own vector environments are to end their workers.
        """
        self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _follow(self, source: AddressSource) -> None:
        """Drives the servers whose addresses stand in the source now."""
        client = self._env_client
        # The reset itself refuses a closed client.
        if (
            isinstance(client, MultiEndpoint)
            and not client.closed
            and client.follow(source.addresses())
        ):
            self._describe()

    def _seed_generator(
        self, seed: int | Sequence[int | None] | npt.NDArray[Any], mask: Any
    ) -> None:
        """Lets `np_random` and its seeds follow from a seed that the environment has taken."""
        seeds: list[int | None]
        if isinstance(seed, (int, np.integer)):
            seeds = [int(seed) + env_index for env_index in range(self.num_envs)]
            super().reset(seed=int(seed))
        else:
            seeds = [None if one is None else int(one) for one in seed]
            given = [one for one in seeds if one is not None]
            if given:
                self.np_random = np.random.default_rng(given)
        for env_index, one in enumerate(seeds):
            if one is not None and (mask is None or mask[env_index]):
                self._seeds[env_index] = one
