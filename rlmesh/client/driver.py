"""The driver: what single and vector clients have in common, values in and values out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rlmesh.client.arguments import reset_call
from rlmesh.client.connection import Connection
from rlmesh.contract import AutoresetMode, EnvContract, value_space
from rlmesh.errors import InvalidActionError
from rlmesh.values.layout import compile_layout
from rlmesh.values.misfit import Deviation, Misfit
from rlmesh.values.packing import pack, unpack, unpack_info
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
    ) -> None:
        self._connection = Connection(
            address,
            connect_timeout=connect_timeout,
            request_timeout=request_timeout,
            accept=accept,
            autoreset=autoreset,
        )
        contract = self.contract = self._connection.contract
        self._num_envs = contract.num_envs if contract.vector else None
        observations = compile_layout(*value_space(contract, "observation_space"))
        self._decode = observations.decode
        self._encode = compile_layout(*value_space(contract, "action_space")).encode
        # Bound here, so that dropping a client needs no more than this one function.
        self.close = self._connection.close

    @property
    def lane(self) -> str:
        """The name of the lane in use."""
        return self._connection.lane

    def reset(self, seed: Any, options: Any) -> tuple[Any, dict[str, Any]]:
        """Resets the environment; observation and info."""
        result = self._connection.reset(reset_call(seed, options, self._num_envs))
        return self._decode(result.observation), unpack_info(result.info)

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
            call.deviations.add(
                kind=part.kind, path=part.path, lane=part.lane, detail=part.detail
            )
        result = self._connection.step(call)
        return self._decode(result.observation), result, unpack_info(result.info)

    def render(self) -> Any:
        """Renders the environment; what it returned."""
        return unpack(self._connection.render().frame)

    def get_attribute(self, name: str) -> Any:
        """Reads an attribute that the server exposes."""
        return unpack(self._connection.attribute(session_pb2.ATTRIBUTE_VERB_GET, name))

    def set_attribute(self, name: str, value: Any) -> None:
        """Sets an attribute that the server exposes."""
        self._connection.attribute(session_pb2.ATTRIBUTE_VERB_SET, name, pack(value))

    def call_method(self, name: str, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        """Calls a method that the server exposes; what it returned."""
        packed = pack([list(arguments), keywords])
        return unpack(self._connection.attribute(session_pb2.ATTRIBUTE_VERB_CALL, name, packed))
