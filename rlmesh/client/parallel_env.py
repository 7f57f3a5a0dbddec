"""`RemoteParallelEnv`: a `pettingzoo.ParallelEnv` whose original lives behind an address."""

from __future__ import annotations

import os
import weakref
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import gymnasium
import numpy as np
import numpy.typing as npt

import rlmesh.client.gymnasium_version  # noqa: F401 # pyright: ignore[reportUnusedImport] - it checks it
from rlmesh.client.connect_options import EnvConnectOptions
from rlmesh.client.env_client import EnvClient
from rlmesh.client.exposed_attributes import ExposedAttributes
from rlmesh.client.local_spec import local_metadata
from rlmesh.client.reruns import connect_or_follow
from rlmesh.client.stats import CallStats
from rlmesh.client.traced_clients import connect_env
from rlmesh.codec.infos.info_keys import CONFORMANCE_WARNING, INFO_DEGRADED
from rlmesh.codec.infos.type_guards import is_mapping
from rlmesh.contract import EnvContract
from rlmesh.contract.joint import (
    ACTIONS,
    GIVEN,
    OBSERVATIONS,
    ORDER,
    REWARDS,
    TERMINATIONS,
    TRUNCATIONS,
    any_member,
    members,
    ordered,
    places,
)
from rlmesh.errors import ArgumentTypeError, InvalidActionError
from rlmesh.limits import MAX_CONTRACT_BYTES
from rlmesh.package_versions import require_version
from rlmesh.security import ClientTLS
from rlmesh.spaces import to_gymnasium_space

try:
    import pettingzoo  # pyright: ignore[reportMissingTypeStubs] # it has none
    from pettingzoo import (  # pyright: ignore[reportMissingTypeStubs] # it has none
        ParallelEnv,
    )
except ImportError as _error:
    raise ImportError(
        "rlmesh.RemoteParallelEnv is a pettingzoo.ParallelEnv, and PettingZoo is not installed; "
        "install it with pip install 'pettingzoo>=1.25', as the extra rlmesh[pettingzoo] does"
    ) from _error
require_version("rlmesh.RemoteParallelEnv", "pettingzoo", pettingzoo.__version__, "1.25")

_NOTICES = (CONFORMANCE_WARNING, INFO_DEGRADED)


class RemoteParallelEnv(
    ExposedAttributes,
    ParallelEnv[str, Any, Any],  # type: ignore[misc] # PettingZoo has no types that mypy reads
):
    """Drives a served environment of many agents as if it were local.

    A joint step of all agents is one message. Values are NumPy's, exactly as the spaces of the
    agents declare them, and the caller's to keep and to write on. `agents`, `possible_agents`,
    `metadata` and `render_mode` are the environment's own. The keys of every dict are the agents
    for which the environment returned something.

    Example:
        >>> import rlmesh
        >>> from pettingzoo.butterfly import pistonball_v6  # doctest: +SKIP
        >>> server = rlmesh.EnvServer(pistonball_v6.parallel_env())  # doctest: +SKIP
        >>> with server:  # doctest: +SKIP
        ...     env = rlmesh.RemoteParallelEnv(server.address)
        ...     observations, infos = env.reset(seed=0)
        ...     actions = {agent: env.action_space(agent).sample() for agent in env.agents}
        ...     observations, rewards, terminations, truncations, infos = env.step(actions)
        ...     env.close()

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
        render_mode: The render mode that the environment must have been made with.
            None: any.

    Raises:
        InvalidAddressError: If a client cannot connect to such an address.
        EndpointUnreachableError: If no server answers in time.
        EndpointBusyError: If other clients hold every session, until the busy timeout.
        WrongEndpointKindError: If the endpoint is no environment of many agents.
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
        ImportError: Where PettingZoo is not installed, as soon as the name is used.
    """

    expected_contract: ClassVar[EnvContract | None] = None
    """The contract to expect where `expect` is None; for subclasses."""

    agents: list[str]
    possible_agents: list[str]

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
            agents=True,
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
        self.metadata: dict[str, Any] = local_metadata(contract)
        self.render_mode: str | None = contract.render_mode
        observed, acted = members(contract, OBSERVATIONS), members(contract, ACTIONS)
        self.possible_agents = list(observed)
        self.agents = []
        self._index = {name: index for index, name in enumerate(observed)}
        self._no_action = {name: any_member(space) for name, space in acted.items()}
        self.observation_spaces: dict[str, gymnasium.Space[Any]] = {
            name: to_gymnasium_space(space) for name, space in observed.items()
        }
        self.action_spaces: dict[str, gymnasium.Space[Any]] = {
            name: to_gymnasium_space(space) for name, space in acted.items()
        }

    @property
    def transport(self) -> str:
        """The transport in use, `shm`, `direct` or `grpc`."""
        return self._env_client.transport

    def observation_space(self, agent: str) -> gymnasium.Space[Any]:
        """The observation space of an agent, the same object each time.

        Args:
            agent: The agent's name.

        Raises:
            KeyError: If there is no such agent.
        """
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> gymnasium.Space[Any]:
        """The action space of an agent, the same object each time.

        Args:
            agent: The agent's name.

        Raises:
            KeyError: If there is no such agent.
        """
        return self.action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Resets the environment.

        Args:
            seed: An integer from 0, or None.
            options: Options for the environment; they travel as infos do.

        Returns:
            The observations and the infos, by agent.

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
        joint, infos = self._env_client.reset(seed, options)
        given = joint[GIVEN][:, 0]
        self.agents = ordered(joint[ORDER], self.possible_agents)
        return self._of(joint[OBSERVATIONS], given), _without_notices(infos)

    def step(
        self, actions: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, float], dict[str, bool], dict[str, bool], dict[str, Any]]:
        """Steps the environment with the actions of all agents, in one exchange.

        Args:
            actions: The action of each agent, a member of its action space or what can be read as
                one exactly. The environment receives those that are given, in their order.

        Returns:
            Observations, rewards, terminations, truncations and infos, each by agent. `agents`
            holds those that act in the next step.

        Raises:
            InvalidActionError: If the space of an agent does not hold its action, or there is no
                such agent. The environment was not called.
            ArgumentTypeError: If `actions` is no mapping.
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
        joint, _, _, _, infos = self._env_client.step(self._joint(actions))
        given = joint[GIVEN].T
        self.agents = ordered(joint[ORDER], self.possible_agents)
        rewards = self._values(joint[REWARDS], given[1])
        terminations, truncations = (
            self._values(joint[name].astype(np.bool_), column)
            for name, column in ((TERMINATIONS, given[2]), (TRUNCATIONS, given[3]))
        )
        observations = self._of(joint[OBSERVATIONS], given[0])
        return observations, rewards, terminations, truncations, _without_notices(infos)

    def state(self) -> Any:
        """The state of the whole environment, where the server exposes it, `expose=("state",)`.

        Returns:
            What the environment's `state()` returns.

        Raises:
            UnexposedAttributeError: If the server does not expose it. It is an `AttributeError`.
            RemoteEnvError: If the environment raised, or has no `state`.
        """
        return self._env_client.call_method("state", (), {})

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
            Dicts, as those of `rlmesh.RemoteEnv`. The infos stay as the environment made them.
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

    def close(self) -> None:
        """Gives the environment back to its server, which goes on. May be called repeatedly."""
        self._finalizer()

    def _may_have(self, name: str) -> bool:
        # Wrappers and PettingZoo's own tests set what an environment does not have.
        return True

    def _joint(self, actions: Mapping[str, Any]) -> dict[str, Any]:
        """The actions of all agents as one value of the action space."""
        if not is_mapping(actions):
            raise ArgumentTypeError(
                f"actions must be a dict of the action of each agent, got {type(actions).__name__}"
            )
        try:
            order = places(actions, self._index)
        except KeyError as error:
            raise InvalidActionError(
                f"there is no agent {error.args[0]!r:.80}, which has an action; the agents are "
                f"{', '.join(self.possible_agents)}. The environment was not called"
            ) from error
        return {ACTIONS: {**self._no_action, **actions}, ORDER: order}

    def _of(self, values: dict[str, Any], given: npt.NDArray[np.int8]) -> dict[str, Any]:
        """The values of the agents that were given one."""
        names = zip(self.possible_agents, given.tolist(), strict=True)
        return {name: values[name] for name, one in names if one}

    def _values(self, values: npt.NDArray[Any], given: npt.NDArray[np.int8]) -> dict[str, Any]:
        """The same of an array, as Python's numbers."""
        return self._of(dict(zip(self.possible_agents, values.tolist(), strict=True)), given)


def _without_notices(infos: dict[str, Any]) -> dict[str, Any]:
    for key in _NOTICES:
        infos.pop(key, None)
    return infos
