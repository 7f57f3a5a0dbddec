"""The env_client: what single and vector clients have in common, values in and values out."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Any, TypeAlias

import numpy as np

from rlmesh.client.arguments import reset_call
from rlmesh.client.call_client import CallClient
from rlmesh.client.connect_options import ConnectOptions
from rlmesh.client.stats import CallStats
from rlmesh.client.transitions import Transitions, compile_stack
from rlmesh.codec.infos.packing import PackingError, pack_listing, unpack, unpack_info
from rlmesh.codec.slab.layout import compile_layout
from rlmesh.codec.slab.violations import Deviation, Violation
from rlmesh.codec.step.protocols import Stepped
from rlmesh.contract import AutoresetMode, EnvContract
from rlmesh.errors import (
    ArgumentTypeError,
    InvalidActionError,
    InvalidArgumentError,
    ProtocolError,
)
from rlmesh.transports.pipe import Received
from rlmesh_api.v1 import session_pb2

Transition: TypeAlias = tuple[Any, Any, Any, Any, dict[str, Any]]
"""Observation, reward, terminated, truncated and info of a step; of a vector environment with a
place for each sub-environment."""


class EnvClient:
    """A call client, and the functions compiled from its contract.

    Arguments and errors are those of `CallClient`.
    """

    def __init__(self, address: str, options: ConnectOptions) -> None:
        self._connection = CallClient(address, options)
        contract: EnvContract = self._connection.contract
        self.contract: EnvContract = contract
        self._copy = options.copy
        num_envs = self._num_envs = self._connection.num_envs
        self._decode = compile_layout(contract.observation_space, num_envs).decode
        self._encode = compile_layout(contract.action_space, num_envs).encode
        self._stack = compile_stack(contract.observation_space)
        self.mode: AutoresetMode | None = self._connection.mode
        self._step = self._connection.step
        self._tally = self._connection.step_tally
        self.hold: Callable[[], None] = self._connection.hold
        self.let_go: Callable[[], None] = self._connection.let_go
        self.num_envs: int = num_envs or 1
        self.address: str = self._connection.address
        # Bound here, so that dropping a client needs no more than this one function.
        self.close: Callable[[], None] = self._connection.close

    @property
    def transport(self) -> str:
        """The name of the transport in use."""
        return self._connection.transport

    def reset(self, seed: Any, options: Any) -> tuple[Any, dict[str, Any]]:
        """Resets the environment; observation and info."""
        request = self._reset_request(seed, options, 4)
        return self._reset_result(self._connection.call(request, known=False))

    def post_reset(self, seed: Any, options: Any) -> None:
        """Asks for a reset, of which `take_reset` gives the result; only while held."""
        self._connection.post(self._reset_request(seed, options, 5), known=False)

    def take_reset(self) -> tuple[Any, dict[str, Any]]:
        """What the reset gave; observation and info."""
        return self._reset_result(self._connection.take())

    def _reset_request(
        self, seed: Any, options: Any, stacklevel: int
    ) -> session_pb2.SessionRequest:
        call, degraded = reset_call(seed, options, self._num_envs)
        for part in degraded:
            # Once for what it is: Python shows one warning of a text and place only once.
            warnings.warn(
                f"reset: a value of type {part.type} in the options cannot travel ({part.reason}) "
                f"and reaches the environment as its text",
                stacklevel=stacklevel,
            )
        return session_pb2.SessionRequest(reset=call)

    def _reset_result(self, received: Received) -> tuple[Any, dict[str, Any]]:
        result = self._connection.read(received, "reset").reset
        self._connection.forget()
        slab = result.observation
        try:
            observation = self._decode(slab, 0, len(slab), self._copy)
            return observation, unpack_info(result.info)
        except (Violation, ValueError) as error:
            raise self._damaged(error) from error

    def encode(self, action: Any) -> tuple[bytes, list[Deviation]]:
        """An action's slab, and what was noticed when it was encoded."""
        noticed: list[Deviation] = []
        try:
            return self._encode(action, noticed), noticed
        except Violation as error:
            raise _refused(error) from error

    def post_step(self, slab: bytes, noticed: list[Deviation]) -> None:
        """Asks for a step, of which `take_step` gives the result; only while held."""
        if noticed:
            call = session_pb2.SessionRequest(step=_step_call(slab, noticed))
            self._connection.post(call, known=True)
        else:
            self._connection.post_step(slab)

    def take_step(self) -> Transition:
        """What the step gave."""
        return self._transition(self._connection.take_step())

    def step(self, action: Any) -> Transition:
        """Steps the environment."""
        # `encode` and `_transition` in one frame: here passes every step.
        began = perf_counter()
        noticed: list[Deviation] = []
        try:
            slab = self._encode(action, noticed)
        except Violation as error:
            raise _refused(error) from error
        tally = self._tally
        if noticed:
            call = session_pb2.SessionRequest(step=_step_call(slab, noticed))
            found = self._connection.exchange_step(call)
            tally.encoding += tally.posted - began
        else:
            found = self._step(slab, began)
        reward, terminated, truncated, buffer, start, nbytes, info = found
        try:
            observation = self._decode(buffer, start, nbytes, self._copy)
            unpacked = unpack_info(info) if info else {}
        except (Violation, ValueError) as error:
            raise self._damaged(error) from error
        tally.done = perf_counter()
        return observation, reward, terminated, truncated, unpacked

    def _transition(self, found: Stepped) -> Transition:
        reward, terminated, truncated, buffer, start, nbytes, info = found
        try:
            observation = self._decode(buffer, start, nbytes, self._copy)
            unpacked = unpack_info(info) if info else {}
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
            call.steps.append(_step_call(slab, noticed))
        if not call.steps:
            raise refused or InvalidArgumentError(
                "step_many needs one action or more, got none; an environment is not stepped by "
                "nothing"
            )
        found, failure = self._connection.step_many(call)
        transitions = self._stacked(found) if found else None
        over = len(found) < len(call.steps) or bool(self._stays_over(found[-1]))
        stopped = failure or (None if over else refused)
        if stopped is not None:
            stopped.transitions = transitions
            raise stopped
        if transitions is None:
            raise self._damaged("several steps were asked for, and it tells of none")
        return transitions

    def stats(self) -> dict[str, CallStats]:
        """What the calls of each kind have cost in this session."""
        return self._connection.stats()

    def render(self) -> Any:
        """Renders the environment; what it returned."""
        request = session_pb2.SessionRequest(render=session_pb2.RenderCall())
        return self._unpacked(self._connection.exchange(request).render.frame)

    def _stacked(self, found: list[Stepped]) -> Transitions:
        try:
            # Views, as stacking copies.
            observations = [
                self._decode(buffer, start, nbytes, False)
                for _, _, _, buffer, start, nbytes, _ in found
            ]
            infos = [unpack_info(info) for *_, info in found]
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
        self._attribute(session_pb2.ATTRIBUTE_VERB_SET, name, value)

    def call_method(self, name: str, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        """Calls a method that the server exposes; what it returned."""
        argument = [list(arguments), keywords]
        result = self._attribute(session_pb2.ATTRIBUTE_VERB_CALL, name, argument)
        return self._unpacked(result.value)

    def _unpacked(self, packed: bytes) -> Any:
        try:
            return unpack(packed)
        except PackingError as error:
            raise self._damaged(error) from error

    def _damaged(self, reason: object) -> ProtocolError:
        return ProtocolError(
            f"the answer of {self._connection.address} cannot be read: {reason}. Its server is "
            f"another RLMesh than this one, or none"
        )

    def _attribute(
        self, verb: session_pb2.AttributeVerb.ValueType, name: str, argument: Any = None
    ) -> session_pb2.AttributeResult:
        if not isinstance(name, str):
            raise ArgumentTypeError(
                f"the name of an attribute must be a str, got {type(name).__name__}"
            )
        packed, degraded = pack_listing(argument)
        if degraded:
            # An info may become its text on its way; what an environment is to be set to may not.
            raise ArgumentTypeError(
                f"{name}: a value of type {degraded[0].type} cannot travel ({degraded[0].reason}, "
                f"at {degraded[0].path}); give numbers, texts, NumPy arrays, lists, tuples and "
                f"dicts of them"
            )
        call = session_pb2.AttributeCall(verb=verb, name=name, argument=packed)
        return self._connection.exchange(session_pb2.SessionRequest(attribute=call)).attribute


def _refused(error: Violation) -> InvalidActionError:
    return InvalidActionError(f"the action was refused: {error}. The environment was not called")


def _step_call(slab: bytes, noticed: list[Deviation]) -> session_pb2.StepCall:
    call = session_pb2.StepCall(action=slab)
    for part in noticed:
        call.deviations.add(
            kind=part.kind, path=part.path, env_index=part.env_index, detail=part.detail
        )
    return call
