"""The driver: what single and vector clients have in common, values in and values out."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, TypeAlias

from rlmesh.client.arguments import reset_call
from rlmesh.client.connection import Connection
from rlmesh.contract import AutoresetMode, EnvContract
from rlmesh.errors import ArgumentTypeError, InvalidActionError, ProtocolError
from rlmesh.values.layout import compile_layout
from rlmesh.values.misfit import Deviation, Misfit
from rlmesh.values.packing import PackingError, pack_listing, unpack, unpack_info
from rlmesh_api.v1 import session_pb2

Transition: TypeAlias = tuple[Any, Any, Any, Any, dict[str, Any]]
"""Observation, reward, terminated, truncated and info of a step; of a vector environment with a
place for each lane."""


class Driver:
    """A connection and the functions compiled from its contract.

    Arguments and errors are those of `Connection`.
    """

    def __init__(
        self,
        address: str,
        *,
        connect_timeout: float | None,
        request_timeout: float | None,
        accept: Callable[[EnvContract], None],
        autoreset: AutoresetMode | None = None,
        lane: str | None = None,
        copy: bool = True,
    ) -> None:
        self._connection = Connection(
            address,
            connect_timeout=connect_timeout,
            request_timeout=request_timeout,
            accept=accept,
            autoreset=autoreset,
            lane=lane,
        )
        contract = self.contract = self._connection.contract
        self._copy = copy
        self._num_envs = contract.num_envs if contract.vector else None
        self._decode = compile_layout(contract.observation_space, self._num_envs).decode
        self._encode = compile_layout(contract.action_space, self._num_envs).encode
        self._step = self._connection.step
        # Bound here, so that dropping a client needs no more than this one function.
        self.close = self._connection.close

    @property
    def lane(self) -> str:
        """The name of the lane in use."""
        return self._connection.lane

    def reset(self, seed: Any, options: Any) -> tuple[Any, dict[str, Any]]:
        """Resets the environment; observation and info."""
        call, degraded = reset_call(seed, options, self._num_envs)
        for part in degraded:
            # Once for what it is: Python shows one warning of a text and place only once.
            warnings.warn(
                f"reset: a value of type {part.type} in the options cannot travel ({part.reason}) "
                f"and reaches the environment as its text",
                stacklevel=3,
            )
        result = self._connection.exchange(session_pb2.SessionRequest(reset=call)).reset
        self._connection.forget()
        slab = result.observation
        return self._decoded(slab, 0, len(slab), result.info)

    def step(self, action: Any) -> Transition:
        """Steps the environment."""
        noticed: list[Deviation] = []
        try:
            slab = self._encode(action, noticed)
        except Misfit as error:
            raise InvalidActionError(
                f"the action was refused: {error}. The environment was not called"
            ) from error
        if noticed:
            call = session_pb2.SessionRequest(step=_step_call(slab, noticed))
            found = self._connection.exchange_step(call)
        else:
            found = self._step(slab)
        reward, terminated, truncated, buffer, start, nbytes, info = found
        try:
            observation = self._decode(buffer, start, nbytes, copy=self._copy)
            return observation, reward, terminated, truncated, unpack_info(info) if info else {}
        except (Misfit, ValueError) as error:
            raise self._damaged(error) from error

    def render(self) -> Any:
        """Renders the environment; what it returned."""
        request = session_pb2.SessionRequest(render=session_pb2.RenderCall())
        return self._unpacked(self._connection.exchange(request).render.frame)

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

    def _decoded(
        self, slab: bytes, start: int, nbytes: int, info: bytes
    ) -> tuple[Any, dict[str, Any]]:
        try:
            return self._decode(slab, start, nbytes, copy=self._copy), unpack_info(info)
        except (Misfit, ValueError) as error:
            raise self._damaged(error) from error

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


def _step_call(slab: bytes, noticed: list[Deviation]) -> session_pb2.StepCall:
    call = session_pb2.StepCall(action=slab)
    for part in noticed:
        call.deviations.add(kind=part.kind, path=part.path, lane=part.lane, detail=part.detail)
    return call
