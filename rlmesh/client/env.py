"""`RemoteEnv`: a `gymnasium.Env` whose original lives behind an address."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterable
from typing import Any, ClassVar, Generic, Literal

import gymnasium
from gymnasium.envs.registration import EnvSpec

import rlmesh.client.gymnasium_version  # pyright: ignore[reportUnusedImport] - it checks it
import rlmesh.registration  # noqa: F401 # pyright: ignore[reportUnusedImport] - it registers the clients
from rlmesh.client.connect_options import EnvConnectOptions
from rlmesh.client.env_client import EnvClient
from rlmesh.client.exposed_attributes import ExposedAttributes
from rlmesh.client.local_spec import local_metadata, local_spec
from rlmesh.client.reruns import connect_or_follow
from rlmesh.client.stats import CallStats
from rlmesh.client.traced_clients import connect_env
from rlmesh.client.transitions import Transitions
from rlmesh.contract import EnvContract
from rlmesh.errors import InvalidArgumentError
from rlmesh.limits import MAX_CONTRACT_BYTES
from rlmesh.security import ClientTLS
from rlmesh.spaces import to_gymnasium_space
from rlmesh.type_arguments import ActType, ObsType


class RemoteEnv(ExposedAttributes, gymnasium.Env[ObsType, ActType], Generic[ObsType, ActType]):
    """Drives a served environment as if it were local.

    Values are NumPy's, exactly as `observation_space` declares them, and the caller's to keep and
    to write on. `spec`, `metadata` and `render_mode` are the environment's own. Where the
    environment is not registered in this process, `gymnasium.make` refuses the `spec`.

    Example:
        >>> import gymnasium, rlmesh
        >>> server = rlmesh.EnvServer(gymnasium.make("CartPole-v1"))
        >>> with server, rlmesh.RemoteEnv(server.address) as env:
        ...     observation, info = env.reset(seed=0)
        ...     action = env.action_space.sample()
        ...     observation, reward, terminated, truncated, info = env.step(action)

    Args:
        address: The server's address, `tcp://HOST:PORT` or `unix:///PATH`.
        connect_timeout_seconds: Seconds until the server must have answered. A server that is not
            up yet is tried again until then. None: no limit.
        request_timeout_seconds: Seconds until each call must have been answered. None: no limit.
        transport: The transport to use if it is available, `shm`, `direct` or `grpc`. None: the
            value of the environment variable `RLMESH_TRANSPORT`, or else the fastest available.
        copy: Whether observations are copies that the caller may keep. False saves the copy: the
            arrays are read-only views, which are valid until the next call.
        token: The token that the server asks for. None: the value of the environment variable
            `RLMESH_TOKEN`, if it is set.
        tls: The authorities to trust, and the client's certificate, for a server that uses TLS.
            None: the connection is not encrypted.
        insecure: Whether a token may cross a network that is not encrypted.
        expect: The contract that the caller's code was written or trained for, or the path of a
            file with it. Connecting fails where the endpoint's contract breaks it. None: the
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
        render_mode: The render mode that the environment must have been made with, as
            `gymnasium.make` passes it on where a client is registered. None: any.

    Raises:
        InvalidAddressError: If a client cannot connect to such an address.
        EndpointUnreachableError: If no server answers in time.
        EndpointBusyError: If other clients hold every session, until the busy timeout.
        WrongEndpointKindError: If the endpoint is a vector environment.
        InvalidCredentialsError: If the token cannot be one or would cross a network in plaintext,
            or if a certificate cannot be used.
        AuthenticationError: If the server does not know this client.
        TlsError: If no trusted connection can be made.
        ContractMismatchError: If the endpoint is not what is expected.
        InvalidArgumentError: If a timeout is negative, `max_contract_bytes` is not positive,
            `transport` or `compression` is an unknown word, `expect` names no file with a contract,
            or the environment has another render mode.
        ProtocolError: If what answers does not speak RLMesh, or if its contract would take more
            than `max_contract_bytes`.
        SystemResourceError: If this process has too few free descriptors.
        ArgumentTypeError: If an argument has the wrong type.
        StateError: If this process is a fork of one that had used gRPC, where a client would hang;
            if the package for `compression` is missing here or at the server.
    """

    # The modes that an environment may have: `gymnasium.make` compares with those of the class.
    metadata: dict[str, Any] = {  # noqa: RUF012 - as Gymnasium has it
        "render_modes": ["human", "rgb_array", "rgb_array_list", "ansi", "ansi_list", "depth_array"]
    }
    expected_contract: ClassVar[EnvContract | None] = None
    """The contract to expect where `expect` is None; for subclasses."""

    def __init__(
        self,
        address: str,
        *,
        connect_timeout_seconds: float | None = 10.0,
        request_timeout_seconds: float | None = None,
        transport: Literal["shm", "direct", "grpc"] | None = None,
        copy: bool = True,
        token: str | None = None,
        tls: ClientTLS | None = None,
        insecure: bool = False,
        expect: EnvContract | str | os.PathLike[str] | None = None,
        busy_timeout_seconds: float | None = 0.0,
        reconnect: bool = True,
        max_contract_bytes: int = MAX_CONTRACT_BYTES,
        compression: Literal["none", "lz4", "zstd", "auto"] = "none",
        render_mode: str | None = None,
    ) -> None:
        options = EnvConnectOptions.read(
            vector=False,
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
        )
        self._env_client: EnvClient = connect_or_follow(
            lambda options: connect_env(address, options), address, options
        )
        # An environment that is dropped without close() must not hold its session for ever.
        self._finalizer = weakref.finalize(self, self._env_client.close)
        # At the end of the program the call client closes itself.
        self._finalizer.atexit = False
        contract = self._env_client.contract
        self.env_contract: EnvContract = contract
        self.observation_space: gymnasium.Space[ObsType] = to_gymnasium_space(
            contract.observation_space
        )
        self.action_space: gymnasium.Space[ActType] = to_gymnasium_space(contract.action_space)
        self.metadata = local_metadata(contract)
        self.render_mode: str | None = contract.render_mode
        self.spec: EnvSpec | None = local_spec(contract)

    @property
    def transport(self) -> str:
        """The transport in use, `shm`, `direct` or `grpc`."""
        return self._env_client.transport

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ObsType, dict[str, Any]]:
        """Resets the environment.

        Args:
            seed: An integer from 0, or None.
            options: Options for the environment; they travel as infos do.

        Returns:
            The observation and the info.

        Raises:
            ArgumentTypeError: If seed or options have the wrong type.
            InvalidArgumentError: If the seed is negative.
            InvalidObservationError: If the environment returned an observation that its space does
                not hold.
            InvalidResultError: If the environment returned a result of another form.
            RemoteEnvError: If the environment raised.
            CallTimeoutError: If the answer did not come in time.
            ConnectionLostError: If the connection broke, and `reconnect` is false.
            SessionLostError: If it broke, and the episode is gone; a reset starts another.
            EndpointDrainingError: If the server is shutting down.
            ProtocolError: If the server sent what it should not.
        """
        returned = self._env_client.reset(seed, options)
        if seed is not None:
            # What `np_random` gives here follows from the same seed as the environment's own.
            super().reset(seed=int(seed))
        return returned

    def step(self, action: ActType) -> tuple[ObsType, float, bool, bool, dict[str, Any]]:
        """Steps the environment.

        Args:
            action: A member of `action_space`, or what can be read as one exactly.

        Returns:
            Observation, reward, terminated, truncated and info.

        Raises:
            InvalidActionError: If the action space does not hold the action. The environment was
                not called.
            InvalidObservationError: If the environment returned an observation that its space does
                not hold.
            InvalidResultError: If the environment returned a result of another form.
            RemoteEnvError: If the environment raised.
            CallTimeoutError: If the answer did not come in time.
            ConnectionLostError: If the connection broke, and `reconnect` is false.
            SessionLostError: If it broke, and the episode is gone; a reset starts another.
            EndpointDrainingError: If the server is shutting down.
            ProtocolError: If the server sent what it should not.
            StateError: If a call was given up before, and no reset came since.
        """
        # Stations 1 and 12 of a step (docs/architecture.md): the action comes in, the five values
        # go out.
        return self._env_client.step(action)

    def step_many(self, actions: Iterable[ActType]) -> Transitions:
        """Steps the environment for one action after the other, in one exchange.

        It is what a loop of `step` does that ends with the episode: every action, observation and
        info is checked and reported as there, and actions beyond the end are not used.
        `request_timeout_seconds` holds for all of them together.

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

    @property
    def notices(self) -> tuple[dict[str, Any], ...]:
        """What RLMesh has to say about this session's values, each notice once.

        Returns:
            Dicts, the oldest first. With the key `rlmesh.conformance.warning`: a value outside its
            space was delivered; `kind`, `path`, `env_index` and `detail`. With the key
            `rlmesh.info.degraded`: a part of an info became text; `path`, `type` and `reason`.
            Each is also logged, to `rlmesh.client`. The infos stay as the environment made them.
        """
        return tuple(self._env_client.notices.kept)

    def render(self) -> Any:
        """Renders the environment.

        Returns:
            What the environment's `render` returns: an array of any shape and dtype, a list of
            frames, a text, or None.

        Raises:
            RemoteEnvError: If the environment raised, or has no `render`.
            CallTimeoutError: If the answer did not come in time.
            ConnectionLostError: If the connection broke, and `reconnect` is false.
            SessionLostError: If it broke, and the episode is gone; a reset starts another.
            EndpointDrainingError: If the server is shutting down.
            ProtocolError: If the server sent what it should not.
        """
        return self._env_client.render()

    def has_wrapper_attr(self, name: str) -> bool:
        """Whether this client has the attribute, or the server exposes one of that name.

        Args:
            name: The attribute's name.

        Raises:
            RemoteEnvError: If the environment raised something else than an `AttributeError`.
        """
        try:
            self.get_wrapper_attr(name)
        except AttributeError:
            return False
        except InvalidArgumentError:
            # The environment has it, and its value cannot travel.
            return True
        return True

    def get_wrapper_attr(self, name: str) -> Any:
        """The attribute of this client, or else of the environment, if the server exposes it.

        `client.name` is the same.

        Args:
            name: The attribute's name.

        Returns:
            The attribute. For a method of the environment, a function that calls it there.

        Raises:
            UnexposedAttributeError: If this client has no such attribute, and the server exposes
                none. It is an `AttributeError`.
            InvalidArgumentError: If the value cannot travel.
            RemoteEnvError: If the environment raised; an `AttributeError` where it has no such
                attribute.
        """
        return getattr(self, name)

    def set_wrapper_attr(self, name: str, value: Any, *, force: bool = True) -> bool:
        """Sets the attribute of this client, or else of the environment, if the server exposes it.

        `client.name = value` is the same, with `force`.

        Args:
            name: The attribute's name.
            value: What to set it to.
            force: Whether to set an attribute that the environment has not got yet.

        Returns:
            Whether it was set.

        Raises:
            ArgumentTypeError: If the value cannot travel.
            UnexposedAttributeError: If this client has no such attribute, the server exposes none,
                and `force` is true.
            RemoteEnvError: If the environment raised.
        """
        if not (force or self.has_wrapper_attr(name)):
            return False
        setattr(self, name, value)
        return True

    def close(self) -> None:
        """Gives the environment back to its server, which goes on. May be called repeatedly."""
        self._finalizer()
