"""Steps of a vector client that are begun and awaited apart."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from rlmesh.client.env_client import Transition
from rlmesh.counts import check_count
from rlmesh.errors import InvalidArgumentError
from rlmesh.parallel.pending import NothingPendingError, PendingError
from rlmesh.parallel.sub_env_numbers import sub_env_numbers
from rlmesh.seconds import check_seconds

__all__ = ["AsyncSteps", "Partial"]


class Partial(Protocol):
    """What steps some of the sub-environments behind a client."""

    def send(self, actions: Any, env_indices: npt.NDArray[np.intp]) -> None:
        """Has some sub-environments step, none of which is in a step."""
        ...

    def recv(self, timeout: float | None) -> Transition:
        """Waits for the first that are done; their numbers stand in the info."""
        ...

    def discard(self) -> None:
        """Waits for what was sent, and drops it."""
        ...


class Whole(Protocol):
    """What steps all sub-environments behind a client."""

    num_envs: int

    def begin_step(self, actions: Any) -> None:
        """Has every sub-environment step."""
        ...

    def end_step(self, timeout: float | None) -> Transition:
        """Waits for the results."""
        ...

    def partial(self, batch_size: int) -> Partial:
        """What steps some of them."""
        ...


class AsyncSteps:
    """Begins steps and awaits them, in the order that Gymnasium and EnvPool have.

    Args:
        client: What steps the sub-environments.
        batch_size: For how many sub-environments `recv` waits; None: for all.

    Raises:
        ArgumentTypeError: If `batch_size` is no integer.
        InvalidArgumentError: If it is less than 1, or more than there are sub-environments.
    """

    def __init__(self, client: Whole, batch_size: int | None) -> None:
        check_count("batch_size", batch_size)
        if batch_size is not None and batch_size > client.num_envs:
            raise InvalidArgumentError(
                f"batch_size={batch_size} is more than there are sub-environments "
                f"({client.num_envs}), so recv() would never return"
            )
        self.batch_size: int = batch_size or client.num_envs
        self._client = client
        self._partial: Partial | None = None
        self._stepping = False
        self._sent = np.zeros(client.num_envs, np.bool_)

    def step_async(self, actions: Any) -> None:
        """Has every sub-environment step."""
        self._check_idle("step_async")
        self._client.begin_step(actions)
        self._stepping = True

    def step_wait(self, timeout: float | None) -> Transition:
        """Waits for the results of `step_async`."""
        check_seconds("timeout", timeout)
        if not self._stepping:
            raise NothingPendingError(
                "step_wait: no step of all sub-environments is in progress; call step_async() "
                "first, or recv() where send() was called"
            )
        self._stepping = False
        return self._client.end_step(timeout)

    def send(self, actions: Any, env_ids: Any) -> None:
        """Has some sub-environments step."""
        indices = sub_env_numbers(env_ids, self._client.num_envs)
        if self._stepping:
            self._check_idle("send")
        pending = indices[self._sent[indices]]
        if len(pending):
            raise PendingError(
                f"send: sub-environment {pending[0]} was sent an action before, whose result was "
                f"not taken; call recv() first"
            )
        if self._partial is None:
            self._partial = self._client.partial(self.batch_size)
        self._partial.send(actions, indices)
        self._sent[indices] = True

    def recv(self, timeout: float | None) -> Transition:
        """Waits for the first `batch_size` sub-environments that are done."""
        check_seconds("timeout", timeout)
        sent = int(np.count_nonzero(self._sent))
        if self._partial is None or sent < self.batch_size:
            raise NothingPendingError(
                f"recv: {sent} sub-environments were sent an action, and batch_size is "
                f"{self.batch_size}, so this would never return; call send() first"
            )
        result = self._partial.recv(timeout)
        self._sent[result[-1]["env_id"]] = False
        return result

    def discard(self) -> None:
        """Drops what was begun and not taken, before a reset."""
        if self._stepping:
            self._stepping = False
            self._client.end_step(None)
        if self._sent.any() and self._partial is not None:
            self._sent[:] = False
            self._partial.discard()

    def _check_idle(self, doing: str) -> None:
        if self._stepping or self._sent.any():
            raise PendingError(
                f"{doing}: results of steps were not taken; call step_wait() or recv() first, or "
                f"reset()"
            )
