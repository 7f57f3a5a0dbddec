"""`rlmesh.Recorder`: an environment of Gymnasium whose calls are kept."""

from __future__ import annotations

import os
import weakref
from typing import Any, Generic, Literal, SupportsFloat, cast, overload

import gymnasium
from gymnasium.vector import VectorEnv, VectorWrapper

from rlmesh.contract import EnvContract
from rlmesh.errors import InvalidEnvError
from rlmesh.recording.contracts import contract_in_use
from rlmesh.recording.recorded_env import RecordedEnv
from rlmesh.type_arguments import ActType, ObsType

__all__ = ["Recorder", "SingleRecorder", "VectorRecorder"]


class _Records:
    """What recorders have in common."""

    _recorded: RecordedEnv
    _contract: EnvContract

    def __init__(
        self,
        env: Any,
        path: str | os.PathLike[str],
        *,
        max_bytes: int | None = None,
        observations: Literal["all", "digest"] = "all",
    ) -> None:
        contract = contract_in_use(env)
        self._recorded = RecordedEnv(
            env, contract, path, max_bytes=max_bytes, observations=observations
        )
        self._contract = contract
        # One that is forgotten ends its recording as one that is closed.
        weakref.finalize(self, self._recorded.writer.close_quietly)

    @property
    def env_contract(self) -> EnvContract:
        """The contract of the environment, which the recording holds."""
        return self._contract

    def flush(self) -> None:
        """Writes what happened so far, which otherwise happens twice a second.

        Raises:
            OSError: If it cannot be written. What was written before stays.
        """
        self._recorded.writer.flush()

    def end(self) -> None:
        """Ends the recording, and leaves the environment open. What follows is not kept.

        Raises:
            OSError: If the rest cannot be written. What was written before stays.
        """
        self._recorded.writer.close()


class Recorder(_Records):
    """An environment, single or vector, that keeps what happens in it in a file of MCAP.

    Around a `gymnasium.Env` it is one, and around a `gymnasium.vector.VectorEnv` one of those. It
    keeps the contract, and of each call the seed, the options, the action, the observation, the
    reward, the flags and the info, bit for bit as the spaces declare them. The environment is given
    each action as its space declares it, so that a replay gives it the same. A process that is
    killed loses what happened in its last second at most.

    Example:
        >>> import gymnasium, rlmesh, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     env = rlmesh.Recorder(gymnasium.make("CartPole-v1"), f"{folder}/episodes.mcap")
        ...     observation, info = env.reset(seed=0)
        ...     env.close()

    Args:
        env: The environment. It is closed with the recorder.
        path: A file that does not exist yet and ends in `.mcap`; or a folder, in which the
            recording has its own files.
        max_bytes: How many bytes the recordings of that folder may take, 1 MiB at least. What was
            written first is removed. Default: there is no limit.
        observations: `all`, or `digest` for 16 bytes instead of each observation, by which a replay
            still sees whether it was the same.

    Raises:
        InvalidEnvError: If `env` is no environment of Gymnasium.
        UnsupportedSpaceError: If one of its spaces cannot be carried.
        InvalidArgumentError: If there is such a file, or an argument is out of its range.
        ArgumentTypeError: If an argument has the wrong type.
        OSError: If the file cannot be made.
        StateError: If the package `mcap` is not installed.
    """

    @overload
    def __new__(
        cls,
        env: VectorEnv[Any, Any, Any],
        path: str | os.PathLike[str],
        *,
        max_bytes: int | None = None,
        observations: Literal["all", "digest"] = "all",
    ) -> VectorRecorder: ...

    @overload
    def __new__(
        cls,
        env: gymnasium.Env[ObsType, ActType],
        path: str | os.PathLike[str],
        *,
        max_bytes: int | None = None,
        observations: Literal["all", "digest"] = "all",
    ) -> SingleRecorder[ObsType, ActType]: ...

    def __new__(  # noqa: PYI034 - it returns the subclass that fits
        cls,
        env: Any,
        path: str | os.PathLike[str],
        *,
        max_bytes: int | None = None,
        observations: Literal["all", "digest"] = "all",
    ) -> Recorder:
        """Makes the recorder that fits the environment."""
        # A name that a type checker does not narrow by.
        kind: Any = VectorRecorder if isinstance(env, VectorEnv) else SingleRecorder
        if isinstance(env, VectorEnv | gymnasium.Env):
            made: Recorder = object.__new__(kind)
            return made
        raise InvalidEnvError(
            f"a Recorder goes around a gymnasium.Env or a gymnasium.vector.VectorEnv, got "
            f"{type(env).__name__}; EnvServer(env, record=...) records whatever it serves"
        )


class SingleRecorder(
    Recorder, gymnasium.Wrapper[ObsType, ActType, ObsType, ActType], Generic[ObsType, ActType]
):
    """A `Recorder` around a single environment: itself a `gymnasium.Env`.

    Args:
        env: As `Recorder` has it, as all that follow.
        path: Likewise.
        max_bytes: Likewise.
        observations: Likewise.

    Raises:
        RlmeshError: What `Recorder` raises.
        OSError: If the file cannot be made.
    """

    def __init__(
        self,
        env: gymnasium.Env[ObsType, ActType],
        path: str | os.PathLike[str],
        *,
        max_bytes: int | None = None,
        observations: Literal["all", "digest"] = "all",
    ) -> None:
        gymnasium.Wrapper.__init__(self, env)
        _Records.__init__(self, env, path, max_bytes=max_bytes, observations=observations)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ObsType, dict[str, Any]]:
        """Resets the environment.

        Args:
            seed: The seed, as the environment takes it.
            options: The options, as the environment takes them.

        Raises:
            InvalidObservationError: If the observation space does not hold the observation.
            InvalidResultError: If the environment returned something that is not allowed.
            OSError: If the recording cannot be written.
            Exception: What the environment raises.
        """
        return cast(
            "tuple[ObsType, dict[str, Any]]", self._recorded.reset(seed=seed, options=options)
        )

    def step(self, action: ActType) -> tuple[ObsType, SupportsFloat, bool, bool, dict[str, Any]]:
        """Steps the environment.

        Args:
            action: What the action space holds.

        Raises:
            InvalidActionError: If the action space does not hold it. The environment is not called.
            InvalidObservationError: If the observation space does not hold the observation.
            InvalidResultError: If the environment returned something that is not allowed.
            OSError: If the recording cannot be written.
            Exception: What the environment raises.
        """
        returned: tuple[ObsType, SupportsFloat, bool, bool, dict[str, Any]] = self._recorded.step(
            action
        )
        return returned

    def close(self) -> None:
        """Ends the recording, and closes the environment.

        Raises:
            OSError: If the rest cannot be written. What was written before stays.
        """
        try:
            self._recorded.writer.close()
        finally:
            self.env.close()


class VectorRecorder(Recorder, VectorWrapper[Any, Any, Any, Any, Any]):
    """A `Recorder` around a vector environment: itself a `gymnasium.vector.VectorEnv`.

    Args:
        env: As `Recorder` has it, as all that follow.
        path: Likewise.
        max_bytes: Likewise.
        observations: Likewise.

    Raises:
        RlmeshError: What `Recorder` raises.
        OSError: If the file cannot be made.
    """

    def __init__(
        self,
        env: VectorEnv[Any, Any, Any],
        path: str | os.PathLike[str],
        *,
        max_bytes: int | None = None,
        observations: Literal["all", "digest"] = "all",
    ) -> None:
        VectorWrapper.__init__(self, env)
        _Records.__init__(self, env, path, max_bytes=max_bytes, observations=observations)

    def reset(
        self, *, seed: Any = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Resets the environment.

        Args:
            seed: The seed, as the environment takes it.
            options: The options, as the environment takes them.

        Raises:
            InvalidObservationError: If the observation space does not hold the observation.
            InvalidResultError: If the environment returned something that is not allowed.
            OSError: If the recording cannot be written.
            Exception: What the environment raises.
        """
        returned: tuple[Any, dict[str, Any]] = self._recorded.reset(seed=seed, options=options)
        return returned

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Steps the environment.

        Args:
            actions: What the action space holds.

        Raises:
            InvalidActionError: If the action space does not hold it. The environment is not called.
            InvalidObservationError: If the observation space does not hold the observation.
            InvalidResultError: If the environment returned something that is not allowed.
            OSError: If the recording cannot be written.
            Exception: What the environment raises.
        """
        returned: tuple[Any, Any, Any, Any, dict[str, Any]] = self._recorded.step(actions)
        return returned

    def close(self, **kwargs: Any) -> None:
        """Ends the recording, and closes the environment.

        Args:
            **kwargs: What the environment's `close` takes.

        Raises:
            OSError: If the rest cannot be written. What was written before stays.
        """
        try:
            self._recorded.writer.close()
        finally:
            self.env.close(**kwargs)
