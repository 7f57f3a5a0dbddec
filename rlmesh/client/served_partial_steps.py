"""Steps of some sub-environments behind one address."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from rlmesh.client.call_client import CallClient
from rlmesh.codec.slab.layout import Layout, compile_layout
from rlmesh.codec.slab.violations import Violation
from rlmesh.codec.step.result import stepped
from rlmesh.errors import InvalidActionError, ProtocolError, RlmeshError
from rlmesh_api.contract import Space
from rlmesh_api.v1 import session_pb2

__all__ = ["ServedPartialSteps"]


class ServedPartialSteps:
    """Sends steps to some sub-environments, and awaits the first that are done.

    One call does both: it goes out with `send` as soon as enough sub-environments are in a step.
    What is sent while it is under way goes out with the next one.

    Args:
        call_client: The session with the endpoint.
        batch_size: For how many sub-environments `recv` waits.
        unpack_info: Unpacks an info.
    """

    def __init__(
        self,
        call_client: CallClient,
        batch_size: int,
        unpack_info: Callable[[bytes], dict[str, Any]],
    ) -> None:
        self._call_client = call_client
        self._batch_size = batch_size
        self._unpack_info = unpack_info
        self._layouts: dict[tuple[str, int], Layout] = {}
        self._waiting: list[session_pb2.PartialAction] = []
        self._in_step = 0
        self._posted = False

    def send(self, actions: Any, env_indices: npt.NDArray[np.intp]) -> None:
        """Has some sub-environments step, none of which is in a step."""
        layout = self._layout("action", self._call_client.contract.action_space, len(env_indices))
        try:
            slab = layout.encode(actions)
        except Violation as error:
            if error.env_index is not None:
                error.env_index = int(env_indices[error.env_index])
            raise InvalidActionError(
                f"the action was refused: {error}. No environment was called"
            ) from error
        self._waiting.append(session_pb2.PartialAction(env_ids=env_indices.tolist(), action=slab))
        self._in_step += len(env_indices)
        if not self._posted and self._in_step >= self._batch_size:
            self._post()

    def recv(self, timeout: float | None) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Waits for the first that are done; their numbers stand in the info."""
        if not self._posted:
            self._post()
        client = self._call_client
        try:
            client.limit(timeout)
            received = client.take()
        finally:
            self._posted = False
            client.let_go()
        self._in_step -= self._batch_size
        result = client.read(received, "step_some").step_some
        numbers = np.array(result.env_ids, np.int64)
        found = stepped(result.step, len(numbers))
        if (
            found is None
            or len(numbers) != self._batch_size
            or numbers.max() >= (client.num_envs or 0)
        ):
            raise self._damaged("it holds results of other sub-environments")
        rewards, terminations, truncations, slab, start, nbytes, packed = found
        layout = self._layout("observation", client.contract.observation_space, len(numbers))
        try:
            observations = layout.decode(slab, start, nbytes)
            info = self._unpack_info(packed) if packed else {}
        except (Violation, ValueError) as error:
            raise self._damaged(error) from error
        info["env_id"] = numbers
        return observations, rewards, terminations, truncations, info

    def discard(self) -> None:
        """Waits for what was sent, and drops it: the reset that follows drops the rest."""
        self._waiting.clear()
        self._in_step = 0
        if self._posted:
            self._posted = False
            try:
                self._call_client.take()
            finally:
                self._call_client.let_go()

    def _post(self) -> None:
        call = session_pb2.StepSomeCall(actions=self._waiting, batch_size=self._batch_size)
        client = self._call_client
        client.hold(pending=True)
        try:
            client.post(session_pb2.SessionRequest(step_some=call), known=True)
        except BaseException:
            client.let_go()
            raise
        self._waiting.clear()
        self._posted = True

    def _layout(self, name: str, space: Space, count: int) -> Layout:
        layout = self._layouts.get((name, count))
        if layout is None:
            layout = self._layouts[name, count] = compile_layout(space, count)
        return layout

    def _damaged(self, reason: object) -> RlmeshError:
        return ProtocolError(
            f"the answer of {self._call_client.address} cannot be read: {reason}. Its server is "
            f"another version of RLMesh, or no RLMesh server"
        )
