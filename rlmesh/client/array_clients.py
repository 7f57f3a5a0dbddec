"""Clients whose values are another library's: what `rlmesh.torch` and `rlmesh.jax` share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Generic

import numpy.typing as npt

from rlmesh.client import env as numpy_env
from rlmesh.client import vector_env as numpy_vector_env
from rlmesh.client.transitions import Transitions
from rlmesh.type_arguments import ActType, ObsType

__all__ = ["ArrayEnv", "ArrayVectorEnv"]


class ArrayEnv(numpy_env.RemoteEnv[ObsType, ActType], Generic[ObsType, ActType]):
    """`rlmesh.RemoteEnv` whose observations and actions are of an array library.

    Arguments and errors are those of `rlmesh.RemoteEnv`. A subclass says how values are converted.
    """

    def _received(self, value: Any) -> Any:
        """What is received from the server, in arrays of the library."""
        raise NotImplementedError

    def _sent(self, value: Any) -> Any:
        """An action of the caller, in arrays of NumPy."""
        raise NotImplementedError

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ObsType, dict[str, Any]]:
        """As `rlmesh.RemoteEnv.reset`."""
        observation, info = super().reset(seed=seed, options=options)
        return self._received(observation), info

    def step(self, action: ActType) -> tuple[ObsType, float, bool, bool, dict[str, Any]]:
        """As `rlmesh.RemoteEnv.step`."""
        observation, reward, terminated, truncated, info = super().step(self._sent(action))
        return self._received(observation), reward, terminated, truncated, info

    def step_many(self, actions: Iterable[ActType]) -> Transitions:
        """As `rlmesh.RemoteEnv.step_many`; the observations are arrays of the library."""
        made = super().step_many(map(self._sent, actions))
        return made._replace(observations=self._received(made.observations))


class ArrayVectorEnv(
    numpy_vector_env.RemoteVectorEnv[ObsType, ActType],
    Generic[ObsType, ActType],
):
    """`rlmesh.RemoteVectorEnv` whose arrays are those of an array library.

    Arguments and errors are those of `rlmesh.RemoteVectorEnv`. A subclass says how values are
    converted.
    """

    def _received(self, value: Any) -> Any:
        """What is received from the server, in arrays of the library."""
        raise NotImplementedError

    def _received_rewards(self, rewards: npt.NDArray[Any]) -> Any:
        """Rewards, float64, as an array of the library."""
        raise NotImplementedError

    def _sent(self, value: Any) -> Any:
        """Actions of the caller, in arrays of NumPy."""
        raise NotImplementedError

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | npt.NDArray[Any] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[ObsType, dict[str, Any]]:
        """As `rlmesh.RemoteVectorEnv.reset`."""
        observations, infos = super().reset(seed=seed, options=options)
        return self._received(observations), infos

    def step(self, actions: ActType) -> tuple[ObsType, Any, Any, Any, dict[str, Any]]:
        """As `rlmesh.RemoteVectorEnv.step`."""
        return self._stepped(super().step(self._sent(actions)))

    def step_async(self, actions: ActType) -> None:
        """As `rlmesh.RemoteVectorEnv.step_async`."""
        super().step_async(self._sent(actions))

    def step_wait(
        self, timeout: float | None = None
    ) -> tuple[ObsType, Any, Any, Any, dict[str, Any]]:
        """As `rlmesh.RemoteVectorEnv.step_wait`."""
        return self._stepped(super().step_wait(timeout))

    def send(
        self, actions: ActType, env_ids: Sequence[int] | npt.NDArray[Any] | None = None
    ) -> None:
        """As `rlmesh.RemoteVectorEnv.send`."""
        super().send(self._sent(actions), env_ids)

    def recv(self, timeout: float | None = None) -> tuple[ObsType, Any, Any, Any, dict[str, Any]]:
        """As `rlmesh.RemoteVectorEnv.recv`."""
        return self._stepped(super().recv(timeout))

    def step_many(self, actions: Iterable[ActType]) -> Transitions:
        """As `rlmesh.RemoteVectorEnv.step_many`; all arrays are those of the library."""
        return Transitions(*self._stepped(super().step_many(map(self._sent, actions))))

    def _stepped(self, result: tuple[Any, Any, Any, Any, Any]) -> tuple[Any, Any, Any, Any, Any]:
        observations, rewards, terminations, truncations, infos = result
        return (
            self._received(observations),
            self._received_rewards(rewards),
            self._received(terminations),
            self._received(truncations),
            infos,
        )
