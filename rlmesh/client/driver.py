"""The driver: what single and vector clients have in common, values in and values out."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from rlmesh.client.arguments import reset_call
from rlmesh.client.connection import Connection
from rlmesh.contract import AutoresetMode, EnvContract
from rlmesh.errors import ArgumentTypeError, InvalidActionError, ProtocolError
from rlmesh.values.layout import compile_layout
from rlmesh.values.misfit import Deviation, Misfit
from rlmesh.values.packing import PackingError, pack_listing, unpack, unpack_info
from rlmesh_api.v1 import session_pb2


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
        self._num_envs = contract.num_envs if contract.vector else None
        self._decode = compile_layout(contract.observation_space, self._num_envs).decode
        self._encode = compile_layout(contract.action_space, self._num_envs).encode
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
        return self._read(self._connection.reset(call))

    def step(self, action: Any) -> tuple[Any, session_pb2.StepResult, dict[str, Any]]:
        """Steps the environment; observation, result and info."""
        noticed: list[Deviation] = []
        try:
            slab = self._encode(action, noticed)
        except Misfit as error:
            raise InvalidActionError(
                f"the action was refused: {error}. The environment was not called"
            ) from error
        call = session_pb2.StepCall(action=bytes(slab))
        for part in noticed:
            call.deviations.add(kind=part.kind, path=part.path, lane=part.lane, detail=part.detail)
        result = self._connection.step(call)
        numbers = (result.rewards, result.terminations, result.truncations)
        if any(len(part) != (self._num_envs or 1) for part in numbers):
            raise self._damaged("a step needs a reward and two flags for each lane")
        observation, info = self._read(result)
        return observation, result, info

    def render(self) -> Any:
        """Renders the environment; what it returned."""
        return self._unpacked(self._connection.render().frame)

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

    def _read(
        self, result: session_pb2.ResetResult | session_pb2.StepResult
    ) -> tuple[Any, dict[str, Any]]:
        try:
            return self._decode(result.observation), unpack_info(result.info)
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
        return self._connection.attribute(verb, name, packed)
