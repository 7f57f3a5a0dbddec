"""Asks a server of openpi, as a model."""

from __future__ import annotations

import os
import weakref
from collections.abc import Mapping
from types import TracebackType
from typing import Any, NoReturn

from google.protobuf.message import DecodeError
from typing_extensions import Self

from rlmesh.codec.infos.type_guards import is_mapping
from rlmesh.codec.slab.layout import Layout, compile_layout
from rlmesh.codec.slab.violations import Violation
from rlmesh.codec.vector.stacking import compile_unstack
from rlmesh.contract.carrying import received_model_contract
from rlmesh.contract.cost import message_cost, why_too_costly
from rlmesh.errors import (
    ArgumentTypeError,
    InvalidActionError,
    InvalidArgumentError,
    InvalidObservationError,
    ProtocolError,
    StateError,
)
from rlmesh.foreign_text import LONGEST_TEXT, one_line
from rlmesh.limits import MAX_CONTRACT_BYTES
from rlmesh.openpi.connection import Server, Websocket
from rlmesh.openpi.forms import (
    ACTIONS,
    CONTRACT,
    OBSERVATION,
    OWN,
    ChunkForm,
    length_of,
    to_entries,
)
from rlmesh.seconds import check_seconds
from rlmesh.security import ClientTLS, credentials_from
from rlmesh.spaces import Space, from_gymnasium_space
from rlmesh_api.contract import ModelContract
from rlmesh_api.v1 import contract_pb2


class Policy:
    """A policy behind a websocket of openpi, as a model.

    It is a model as `rlmesh.ModelWorker` and `rlmesh.Chunks` take one, and can be asked directly.
    A server of openpi says nothing of its spaces: give them, and the horizon, where they are to be
    checked. A server of RLMesh says them.

    Each episode has its own connection, and so has each session of a worker that serves this.

    Example:
        >>> import numpy, rlmesh
        >>> from gymnasium.spaces import Box
        >>> from rlmesh.openpi import Policy
        >>> def hold(observation):
        ...     return observation[:2]
        >>> spaces = {"observation_space": Box(-1, 1, (3,)), "action_space": Box(-1, 1, (2,))}
        >>> with rlmesh.ModelWorker(hold, openpi=0, **spaces) as worker:
        ...     with Policy(worker.openpi_address) as policy:
        ...         chunk = policy.predict_chunk(numpy.ones(3, numpy.float32))
        >>> chunk.shape
        (1, 2)

    Args:
        uri: `ws://HOST:PORT`, `wss://HOST:PORT` for TLS, with a path where the server has several
            models; without a scheme, `ws://` is meant.
        observation_space: The space of one observation. Of a space other than Dict, the value is
            sent under the key `observation`. Default: what the server says; if it says nothing, any
            dict is sent as it is.
        action_space: The space of one action. Of a Dict, an answer holds its keys; of any other, it
            holds the chunk under `actions`. Default: what the server says; if it says nothing, the
            array under `actions` is returned as it is.
        horizon: How many actions a chunk has. Default: what the server says; if it says nothing, as
            many as come.
        connect_timeout_seconds: How long connecting may take, in seconds; None: no limit.
        request_timeout_seconds: How long an answer may take, in seconds; None: no limit.
        token: What the client shows, as `Api-Key`. Default: the environment variable
            `RLMESH_TOKEN`; if that is not set, nothing.
        tls: What the client trusts, of a `wss://`. Default: what this machine trusts.
        insecure: Whether the token may cross a network in plaintext.

    Attributes:
        observation_space: The space of one observation; None where it is unknown.
        action_space: The space of one action; None where it is unknown.
        horizon: How many actions a chunk has; None where it is unknown.
        keeps_state: Whether a prediction depends on those before; False where it is unknown, as
            the protocol knows no reset.
        id: The model's name, as the server says it, else `openpi`.

    Raises:
        InvalidAddressError: If the URI names no websocket.
        EndpointUnreachableError: If nothing answers in time.
        EndpointBusyError: If the server takes no client now.
        AuthenticationError: If it does not accept this client.
        TlsError: If no trusted connection can be made.
        ProtocolError: If what answers does not speak openpi's protocol.
        InvalidArgumentError: If a number is out of its range, or the server knows no such model.
        InvalidCredentialsError: If the token cannot be one or would cross a network in plaintext,
            or if a certificate cannot be used.
        EndpointError: If the connection breaks meanwhile.
        UnsupportedSpaceError: If a space cannot be carried.
        ArgumentTypeError: If an argument has the wrong type.
    """

    def __init__(
        self,
        uri: str,
        *,
        observation_space: Any = None,
        action_space: Any = None,
        horizon: int | None = None,
        connect_timeout_seconds: float | None = 10.0,
        request_timeout_seconds: float | None = None,
        token: str | None = None,
        tls: ClientTLS | None = None,
        insecure: bool = False,
    ) -> None:
        _check_horizon(horizon)
        given = [
            None if space is None else from_gymnasium_space(space)
            for space in (observation_space, action_space)
        ]
        self._server = Server(
            uri,
            credentials_from(token, tls, os.environ, insecure=insecure),
            check_seconds("connect_timeout_seconds", connect_timeout_seconds),
            check_seconds("request_timeout_seconds", request_timeout_seconds),
        )
        self._websocket: Websocket | None = self._server.connect()
        self._sessions: weakref.WeakSet[_Session] = weakref.WeakSet()
        self._closed = False
        metadata = self._metadata = dict(self._websocket.metadata)
        try:
            contract = _contract_of(metadata, self._server.uri)
            self._prepare(contract, given, horizon)
        except BaseException:
            self._websocket.close()
            raise

    def _prepare(
        self, contract: ModelContract | None, given: list[Space | None], horizon: int | None
    ) -> None:
        said = (
            (None, None)
            if contract is None
            else (contract.observation_space, contract.action_space)
        )
        observing, acting = (mine or theirs for mine, theirs in zip(given, said, strict=True))
        self.observation_space: Space | None = observing
        self.action_space: Space | None = acting
        self.horizon: int | None = contract.horizon if contract and horizon is None else horizon
        self.keeps_state: bool = contract.keeps_state if contract else False
        self.id: str = contract.id if contract else "openpi"
        self._observation: Layout | None = None if observing is None else compile_layout(observing)
        self._chunk: ChunkForm | None = None if acting is None else ChunkForm(acting)
        self._unstack = None if acting is None else compile_unstack(acting)

    @property
    def metadata(self) -> dict[str, Any]:
        """What the server says of itself; without what only RLMesh reads."""
        return {key: value for key, value in self._metadata.items() if key != OWN}

    def infer(self, observation: Mapping[str, Any]) -> dict[str, Any]:
        """Sends a dict as it is and returns the dict that answers it, as `openpi-client` does.

        Args:
            observation: Texts, numbers, arrays of numbers, and dicts and lists of these.

        Returns:
            The answer; its arrays are owned.

        Raises:
            InvalidObservationError: If a part of it cannot be sent, or the server refuses it.
            RemoteModelError: If the policy failed.
            CallTimeoutError: If the answer did not come in time.
            EndpointError: If something is wrong with the server or the way to it.
            StateError: If this is closed.
        """
        return self._ask(observation, None)

    def predict_chunk(self, observation: Any, context: Any = None) -> Any:
        """Asks for the next actions.

        Args:
            observation: A member of the observation space; where that is unknown, a dict.
            context: The session's part, where a worker serves this; None: this object's own.

        Returns:
            The actions, stacked along a new first axis, `(horizon, *shape)`; of a Text in a tuple.

        Raises:
            InvalidActionError: If the answer holds no chunk of the action space.
            RlmeshError: What `infer` raises.
        """
        answer = self._ask(self._entries(observation), context)
        if self._chunk is None:
            if ACTIONS not in answer:
                keys = one_line(", ".join(map(repr, answer)), LONGEST_TEXT)
                raise InvalidActionError(
                    f"the answer of {self._server.uri} has no {ACTIONS!r}; it has {keys}. Give "
                    f"action_space=, or use infer()"
                )
            return answer[ACTIONS]
        try:
            return self._chunk.read(answer, self.horizon)
        except Violation as error:
            raise InvalidActionError(
                f"the answer of {self._server.uri} was refused: "
                f"{one_line(f'{error.path}: {error.detail}', LONGEST_TEXT)}"
            ) from error

    def predict(self, observation: Any, context: Any = None) -> Any:
        """Asks for the next action: the first one of the chunk that answers.

        Args:
            observation: As for `predict_chunk`.
            context: As for `predict_chunk`.

        Returns:
            The action.

        Raises:
            RlmeshError: What `predict_chunk` raises.
        """
        chunk = self.predict_chunk(observation, context)
        if self._unstack is None or self.action_space is None:
            return chunk[0]
        return self._unstack(chunk, length_of(self.action_space, chunk))[0]

    def reset(self, context: Any = None) -> None:
        """Begins an episode: the next prediction connects again.

        The protocol knows no reset, and a server's state of a client ends with its connection.

        Args:
            context: As for `predict_chunk`.

        Raises:
            StateError: If this is closed.
        """
        self._check_open()
        if context is None and self._websocket is not None:
            self._websocket.close()

    def close(self) -> None:
        """Ends every connection. May be called repeatedly."""
        self._closed = True
        if self._websocket is not None:
            self._websocket.close()
        for session in list(self._sessions):
            session.websocket.close()

    def _ask(self, entries: Mapping[str, Any], context: Any) -> dict[str, Any]:
        self._check_open()
        return dict(self._connected(context).ask(entries))

    def _connected(self, context: Any) -> Websocket:
        """The connection for a prediction; a new one where the last one has ended."""
        if context is not None:
            # The state of a context is None at the beginning of an episode.
            session = context.state
            if not isinstance(session, _Session) or not session.websocket.open:
                session = context.state = _Session(self._server.connect())
                self._sessions.add(session)
            return session.websocket
        websocket = self._websocket
        if websocket is None or not websocket.open:
            websocket = self._websocket = self._server.connect()
        return websocket

    def _entries(self, observation: Any) -> Mapping[str, Any]:
        layout, space = self._observation, self.observation_space
        if layout is None or space is None:
            if not is_mapping(observation):
                raise InvalidObservationError(
                    f"an observation of openpi is a dict, got {type(observation).__name__}; give "
                    f"observation_space= for another form"
                )
            return observation
        try:
            slab = layout.encode(observation, [])
        except Violation as error:
            raise InvalidObservationError(
                f"the observation was refused: "
                f"{one_line(f'{error.path}: {error.detail}', LONGEST_TEXT)}. The model was not "
                f"called"
            ) from error
        value = layout.decode(slab, 0, len(slab), False)
        return to_entries(space, value, OBSERVATION)

    def _check_open(self) -> None:
        if self._closed:
            raise StateError(f"the policy at {self._server.uri} is closed; make a new one")

    def __enter__(self) -> Self:
        """The policy itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends every connection."""
        self.close()

    def __repr__(self) -> str:
        """The class and the address."""
        return f"{type(self).__name__}({self._server.uri!r})"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Refuses `copy`, `copy.deepcopy` and `pickle`.

        Raises:
            ArgumentTypeError: Always.
        """
        raise ArgumentTypeError(
            "a Policy cannot be copied or pickled: it holds a connection of this process. Pass on "
            "the address, and make another one there"
        )


class _Session:
    """The connection of one session of a worker; it ends with the session's state.

    Args:
        websocket: The connection.

    Attributes:
        websocket: As given.
    """

    def __init__(self, websocket: Websocket) -> None:
        self.websocket: Websocket = websocket
        weakref.finalize(self, websocket.cut)


def _check_horizon(horizon: object) -> None:
    if horizon is None:
        return
    if isinstance(horizon, bool) or not isinstance(horizon, int):
        raise ArgumentTypeError(
            f"horizon must be a number of actions or None, got {type(horizon).__name__}"
        )
    if horizon < 1:
        raise InvalidArgumentError(f"horizon must be 1 or more, got {horizon}")


def _contract_of(metadata: Mapping[str, Any], uri: str) -> ModelContract | None:
    """The contract that a server of RLMesh sends; None from any other one."""
    own = metadata.get(OWN)
    message = own.get(CONTRACT) if is_mapping(own) else None
    if not isinstance(message, bytes):
        return None
    try:
        contract = contract_pb2.ModelContract.FromString(message)
        reason = why_too_costly(message_cost(contract), MAX_CONTRACT_BYTES)
        if reason is not None:
            raise ProtocolError(f"the contract of {uri} is refused: {reason}")
        return received_model_contract(contract)
    except (DecodeError, ValueError) as error:
        raise ProtocolError(
            f"the contract of {uri} cannot be read: {one_line(str(error), LONGEST_TEXT)}; upgrade "
            f"the older RLMesh of the two"
        ) from error
