"""What single and vector clients have in common: actions in, observations and infos out."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Any, TypeAlias

import numpy as np

from rlmesh.client.arguments import reset_call
from rlmesh.client.call_client import CallClient
from rlmesh.client.connect_options import EnvConnectOptions
from rlmesh.client.notices import Notices
from rlmesh.client.served_partial_steps import ServedPartialSteps
from rlmesh.client.stats import CallStats
from rlmesh.client.transitions import Transitions
from rlmesh.client.unexposed import unexposed
from rlmesh.codec.infos.info_keys import CONFORMANCE_WARNING, INFO_DEGRADED
from rlmesh.codec.infos.packing import (
    PackingError,
    TooManyValuesError,
    pack_listing,
    unpack,
    unpack_info,
)
from rlmesh.codec.slab.layout import compile_layout
from rlmesh.codec.slab.violations import Deviation, Violation
from rlmesh.codec.step.plain import compile_plain_answer
from rlmesh.codec.step.protocols import Stepped
from rlmesh.codec.step.reset import ReadReset
from rlmesh.codec.vector.stacking import compile_stack
from rlmesh.contract import AutoresetMode, EnvContract
from rlmesh.errors import (
    ArgumentTypeError,
    EndpointError,
    InvalidActionError,
    InvalidArgumentError,
    ProtocolError,
)
from rlmesh.foreign_text import LONGEST_TEXT, one_line
from rlmesh.parallel.resets import check_reset_mask
from rlmesh.transports.pipe import Received
from rlmesh_api.v1 import session_pb2

Transition: TypeAlias = tuple[Any, Any, Any, Any, dict[str, Any]]
"""Observation, reward, terminated, truncated and info of a step; for a vector environment with one
entry for each sub-environment."""


class EnvClient:
    """A call client, and the functions compiled from its contract.

    Arguments and errors are those of `CallClient`.
    """

    def __init__(self, address: str, options: EnvConnectOptions) -> None:
        self._call_client = CallClient(address, options)
        contract: EnvContract = self._call_client.contract
        self.contract: EnvContract = contract
        self._copy = options.copy
        num_envs = self._num_envs = self._call_client.num_envs
        observation = compile_layout(contract.observation_space, num_envs)
        self._decode = observation.decode
        plain = options.copy and num_envs is None
        self._read_plain = compile_plain_answer(observation) if plain else None
        self._encode = compile_layout(contract.action_space, num_envs).encode
        self._stack = compile_stack(contract.observation_space)
        self.mode: AutoresetMode | None = self._call_client.mode
        self._step = self._call_client.step
        self._read_step = self._call_client.read_step_in_form
        self._tally = self._call_client.step_tally
        self.hold: Callable[[], None] = self._call_client.hold
        self.let_go: Callable[[], None] = self._call_client.let_go
        self.num_envs: int = num_envs or 1
        self.notices: Notices = Notices()
        self._unpack_info = unpack_info if num_envs else _noticing(self.notices)
        self.address: str = self._call_client.address
        # Bound here, so that dropping a client needs no more than this one function.
        self.close: Callable[[], None] = self._call_client.close
        self.give_way: Callable[[], None] = self._call_client.give_way

    @property
    def transport(self) -> str:
        """The name of the transport in use."""
        return self._call_client.transport

    @property
    def closed(self) -> bool:
        """Whether the connection is closed."""
        return self._call_client.closed

    @property
    def lost(self) -> EndpointError | None:
        """Why the session is over; None while it is not."""
        return self._call_client.lost

    @property
    def gave_way(self) -> bool:
        """Whether it was closed so that a newer client could have its place."""
        return self._call_client.gave_way

    @property
    def exposed(self) -> frozenset[str]:
        """The names of the attributes that the server exposes."""
        return self._call_client.exposed

    def reset(self, seed: Any, options: Any) -> tuple[Any, dict[str, Any]]:
        """Resets the environment; returns observation and info."""
        if self._num_envs is not None:
            options = check_reset_mask(options, self._num_envs)
        request = self._reset_request(seed, options, 4)
        return self._reset_result(self._call_client.call(request, known=False))

    def post_reset(self, seed: Any, options: Any) -> None:
        """Sends a reset, whose result `take_reset` returns; only between `hold` and `let_go`."""
        self._call_client.post(self._reset_request(seed, options, 5), known=False)

    def take_reset(self) -> tuple[Any, dict[str, Any]]:
        """Awaits the reset; returns observation and info."""
        return self._reset_result(self._call_client.take())

    def _reset_request(
        self, seed: Any, options: Any, stacklevel: int
    ) -> session_pb2.SessionRequest:
        call, degraded = reset_call(seed, options, self._num_envs)
        for part in degraded:
            # Python shows the same warning from the same line only once.
            warnings.warn(
                f"reset: a value of type {part.type} in the options cannot travel ({part.reason}) "
                f"and reaches the environment as its text",
                stacklevel=stacklevel,
            )
        return session_pb2.SessionRequest(reset=call)

    def _reset_result(self, received: Received) -> tuple[Any, dict[str, Any]]:
        buffer = received[0]
        found = self._call_client.read_reset(received)
        if found is None:
            result = self._call_client.read(received, "reset").reset
            buffer, found = result.observation, ReadReset(0, len(result.observation), result.info)
        self._call_client.forget()
        try:
            observation = self._decode(buffer, found.start, found.nbytes, self._copy)
            return observation, self._unpack_info(found.info)
        except (Violation, ValueError) as error:
            raise self._damaged(error) from error

    def encode(self, action: Any) -> tuple[bytes, list[Deviation]]:
        """An action's slab, and the deviations from the action space that the policy allows."""
        noticed: list[Deviation] = []
        try:
            return self._encode(action, noticed), noticed
        except Violation as error:
            raise _refused(error) from error

    def post_step(self, slab: bytes, noticed: list[Deviation]) -> None:
        """Sends a step, whose result `take_step` returns; only between `hold` and `let_go`."""
        if noticed:
            call = session_pb2.SessionRequest(step=step_call(slab, noticed))
            self._call_client.post(call, known=True)
        else:
            self._call_client.post_step(slab)

    def take_step(self) -> Transition:
        """Awaits the step and returns its result."""
        return self._transition(self._call_client.take_step())

    def begin_reset(self, seed: Any, options: Any) -> None:
        """Sends a reset, whose result `end_reset` returns."""
        self._call_client.hold(pending=True)
        try:
            self.post_reset(seed, options)
        except BaseException:
            self._call_client.let_go()
            raise

    def end_reset(self) -> tuple[Any, dict[str, Any]]:
        """Awaits the reset that `begin_reset` has sent."""
        try:
            return self.take_reset()
        finally:
            self._call_client.let_go()

    def begin_step(self, actions: Any) -> None:
        """Sends a step, whose result `end_step` returns."""
        self.begin_encoded(*self.encode(actions))

    def begin_encoded(self, slab: bytes, noticed: list[Deviation]) -> None:
        """As `begin_step`, of what `encode` returned."""
        self._call_client.hold(pending=True)
        try:
            self.post_step(slab, noticed)
        except BaseException:
            self._call_client.let_go()
            raise

    def end_step(self, timeout: float | None) -> Transition:
        """Awaits the step that `begin_step` has sent."""
        try:
            self._call_client.limit(timeout)
            return self.take_step()
        finally:
            self._call_client.let_go()

    def partial(self, batch_size: int) -> ServedPartialSteps:
        """What steps some of the sub-environments."""
        return ServedPartialSteps(self._call_client, batch_size, self._unpack_info)

    def step(self, action: Any) -> Transition:
        """Steps the environment."""
        # Station 2 of a step (docs/architecture.md): the action is encoded into a slab. The code of
        # `encode` and `_transition` stands here again, to save two frames on the path of a step.
        began = perf_counter()
        noticed: list[Deviation] = []
        try:
            slab = self._encode(action, noticed)
        except Violation as error:
            raise _refused(error) from error
        tally = self._tally
        if noticed:
            call = session_pb2.SessionRequest(step=step_call(slab, noticed))
            found = self._call_client.exchange_step(call)
            tally.encoding += tally.posted - began
        else:
            # Station 11 of a step, its end: the observation and the info are decoded.
            buffer, start, end, sequence = self._step(slab, began)
            if self._read_plain is not None:
                transition = self._read_plain(buffer, start, end, sequence)
                if transition is not None:
                    tally.done = perf_counter()
                    return transition
            in_form = self._read_step(buffer, start, end, sequence)
            found = in_form or self._call_client.read_step((buffer, start, end))
        reward, terminated, truncated, buffer, start, nbytes, info = found
        try:
            observation = self._decode(buffer, start, nbytes, self._copy)
            unpacked = self._unpack_info(info) if info else {}
        except (Violation, ValueError) as error:
            raise self._damaged(error) from error
        tally.done = perf_counter()
        return observation, reward, terminated, truncated, unpacked

    def _transition(self, found: Stepped) -> Transition:
        reward, terminated, truncated, buffer, start, nbytes, info = found
        try:
            observation = self._decode(buffer, start, nbytes, self._copy)
            unpacked = self._unpack_info(info) if info else {}
        except (Violation, ValueError) as error:
            raise self._damaged(error) from error
        self._tally.done = perf_counter()
        return observation, reward, terminated, truncated, unpacked

    def step_many(self, actions: Iterable[Any]) -> Transitions:
        """Steps the environment for one action after the other, until an episode is over.

        Raises:
            RlmeshError: What the same loop of `step` would raise; what it would have done before
                stands in its `transitions`.
        """
        call = session_pb2.StepManyCall()
        refused: InvalidActionError | None = None
        for action in actions:
            noticed: list[Deviation] = []
            try:
                slab = self._encode(action, noticed)
            except Violation as error:
                refused = InvalidActionError(
                    f"action {len(call.steps)} was refused: {error}. The environment was not "
                    f"called for it"
                )
                break
            call.steps.append(step_call(slab, noticed))
        if not call.steps:
            raise refused or InvalidArgumentError("step_many needs one action or more, got none")
        found, failure = self._call_client.step_many(call)
        if len(found) > len(call.steps):
            raise self._damaged(f"it holds {len(found)} steps, {len(call.steps)} were requested")
        transitions = self._stacked(found) if found else None
        over = len(found) < len(call.steps) or bool(self._stays_over(found[-1]))
        stopped = failure or (None if over else refused)
        if stopped is not None:
            stopped.transitions = transitions
            raise stopped
        if transitions is None:
            raise self._damaged("it holds no step, though several were requested")
        return transitions

    @property
    def steps(self) -> int:
        """How many steps were answered in this session, without those of `step_many`."""
        return self._tally.count + bool(self._tally.open)

    def stats(self) -> dict[str, CallStats]:
        """What the calls of each kind have cost in this session."""
        return self._call_client.stats()

    def render(self) -> Any:
        """Renders the environment, and returns what it returned."""
        request = session_pb2.SessionRequest(render=session_pb2.RenderCall())
        return self._unpacked(self._call_client.exchange(request).render.frame)

    def _stacked(self, found: list[Stepped]) -> Transitions:
        try:
            # Views, as stacking copies.
            observations = [
                self._decode(buffer, start, nbytes, False)
                for _, _, _, buffer, start, nbytes, _ in found
            ]
            infos = [self._unpack_info(info) for *_, info in found]
        except (Violation, ValueError) as error:
            raise self._damaged(error) from error
        rewards, terminations, truncations, *_ = zip(*found, strict=True)
        return Transitions(
            self._stack(observations),
            np.array(rewards, np.float64),
            np.array(terminations, np.bool_),
            np.array(truncations, np.bool_),
            infos,
        )

    def _stays_over(self, found: Stepped) -> Any:
        """Whether an episode is over after a step, and no step begins another."""
        _, terminated, truncated, *_ = found
        if self._num_envs is None:
            return terminated or truncated
        return self.mode is AutoresetMode.DISABLED and (terminated | truncated).any()

    def get_attribute(self, name: str) -> Any:
        """Reads an attribute that the server exposes; a method is a function that calls it."""
        result = self._attribute(session_pb2.ATTRIBUTE_VERB_GET, name)
        if result.callable:

            def method(*arguments: Any, **keywords: Any) -> Any:
                return self.call_method(name, arguments, keywords)

            return method
        return self._unpacked(result.value)

    def set_attribute(self, name: str, value: Any) -> None:
        """Sets an attribute that the server exposes."""
        self._attribute(session_pb2.ATTRIBUTE_VERB_SET, name, _packed(name, value))

    def call_method(self, name: str, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        """Calls a method that the server exposes, and returns what it returned."""
        argument = _packed(name, [list(arguments), keywords])
        result = self._attribute(session_pb2.ATTRIBUTE_VERB_CALL, name, argument)
        return self._unpacked(result.value)

    def _unpacked(self, packed: bytes) -> Any:
        try:
            return unpack(packed)
        except PackingError as error:
            raise self._damaged(error) from error

    def _damaged(self, reason: object) -> ProtocolError:
        if isinstance(reason, TooManyValuesError):
            return ProtocolError(
                f"the answer of {self._call_client.address} is refused: it would take too much "
                f"memory. {reason}"
            )
        return ProtocolError(
            f"the answer of {self._call_client.address} cannot be read: "
            f"{one_line(str(reason), LONGEST_TEXT)}. Its server is another version of "
            f"RLMesh, or no RLMesh server"
        )

    def _attribute(
        self, verb: session_pb2.AttributeVerb.ValueType, name: str, argument: bytes = b""
    ) -> session_pb2.AttributeResult:
        if not isinstance(name, str):
            raise ArgumentTypeError(
                f"the name of an attribute must be a str, got {type(name).__name__}"
            )
        if name not in self.exposed:
            raise unexposed(name, self.exposed)
        call = session_pb2.AttributeCall(verb=verb, name=name, argument=argument)
        return self._call_client.exchange(session_pb2.SessionRequest(attribute=call)).attribute


def _packed(name: object, argument: Any) -> bytes:
    packed, degraded = pack_listing(argument)
    if degraded:
        # In an info such a value becomes its text. An attribute must arrive as it is.
        raise ArgumentTypeError(
            f"{name}: a value of type {degraded[0].type} cannot travel ({degraded[0].reason}, "
            f"at {degraded[0].path}); give numbers, texts, NumPy arrays, lists, tuples and "
            f"dicts of them"
        )
    return packed


def _refused(error: Violation) -> InvalidActionError:
    reason = one_line(str(error), LONGEST_TEXT)
    return InvalidActionError(f"the action was refused: {reason}. The environment was not called")


def step_call(slab: bytes, noticed: list[Deviation]) -> session_pb2.StepCall:
    """The call of a step, with what was noticed while its action was encoded."""
    call = session_pb2.StepCall(action=slab)
    for part in noticed:
        call.deviations.add(
            kind=part.kind, path=part.path, env_index=part.env_index, detail=part.detail
        )
    return call


def _noticing(notices: Notices) -> Callable[[bytes], dict[str, Any]]:
    """Unpacks infos and takes the notices out. It holds no client, which would make a cycle."""

    def unpack_single(packed: bytes) -> dict[str, Any]:
        info = unpack_info(packed)
        if CONFORMANCE_WARNING in info or INFO_DEGRADED in info:
            notices.take(info)
        return info

    return unpack_single
