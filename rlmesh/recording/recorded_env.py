"""Calls an environment, and notes what it is given and what it returns."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

from rlmesh.codec.slab.violations import Violation
from rlmesh.contract import EnvContract
from rlmesh.envs.gym_compat import compile_reset
from rlmesh.envs.results import BadResultError
from rlmesh.errors import (
    InvalidActionError,
    InvalidArgumentError,
    InvalidObservationError,
    InvalidResultError,
    RemoteEnvError,
    RlmeshError,
)
from rlmesh.recording.encoding import CallEncoder, failure_of
from rlmesh.recording.parts import Place
from rlmesh.recording.writer import Noted, RecordingWriter
from rlmesh_api.v1 import recording_pb2

Observations: TypeAlias = Literal["all", "digest"]
"""What is kept of each observation."""


class RecordedEnv:
    """An environment whose calls are recorded. One thread at a time may call the methods.

    Args:
        env: The environment.
        contract: Its contract.
        path: Where the recording is written, as `Place` has it.
        max_bytes: What the recordings of that folder may take; None: there is no limit.
        observations: What is kept of each observation.
        served: Whether a server calls it: then the server refuses what the space does not hold,
            and a disk that takes nothing more ends the recording alone. Otherwise each action is
            handed on as its space declares it, and both are errors.

    Attributes:
        writer: Writes the recording.

    Raises:
        InvalidArgumentError: What `Place` raises, and for another word of `observations`.
        ArgumentTypeError: What `Place` raises.
        OSError: If the file cannot be made.
        StateError: If the package `mcap` is not installed.
    """

    def __init__(
        self,
        env: Any,
        contract: EnvContract,
        path: str | os.PathLike[str],
        *,
        max_bytes: int | None = None,
        observations: Observations = "all",
        served: bool = False,
    ) -> None:
        digest = check_observations(observations)
        self._env = env
        self._served = served
        self._reset: Callable[[Any, Any], Any] = compile_reset(env)
        self._calls = CallEncoder(contract, digest=digest)
        self._encode_action = self._calls.action.encode
        self._decode_action = self._calls.action.decode
        self._plain = None if served else self._calls.plain_action
        self._encode_step = self._calls.step
        self.writer: RecordingWriter = RecordingWriter(
            Place(path, contract.id, max_bytes),
            contract,
            digest=digest,
            step_bytes=self._calls.step_bytes,
            stops_quietly=served,
        )

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        """Resets the environment.

        Args:
            seed: As the environment takes it.
            options: Likewise.

        Raises:
            InvalidObservationError: If the observation space does not hold the observation.
            InvalidResultError: If it returned nothing that `reset` may return.
            OSError: If the recording cannot be written.
            Exception: What the environment raises.
        """
        self.writer.check()
        calls = self._calls.reset(seed, options)
        try:
            returned = self._reset(seed, options)
        except Exception as error:
            if _is_of_env(error):
                calls.failure.CopyFrom(failure_of("reset()", error))
                self._note(Noted(calls, begins=True, ends=True, count=1))
            raise
        try:
            calls.reset_result.CopyFrom(self._calls.reset_result(returned))
        except (Violation, BadResultError) as error:
            calls.failure.CopyFrom(failure_of("reset()", error))
            self._note(Noted(calls, begins=True, ends=True, count=1))
            self._refuse("reset", error)
            return returned
        self._note(Noted(calls, begins=True, ends=False, count=1))
        return returned

    def step(self, action: Any) -> Any:
        """Steps the environment.

        Args:
            action: As the action space declares it.

        Raises:
            InvalidActionError: If the action space does not hold the action. The environment is not
                called.
            InvalidObservationError: If the observation space does not hold the observation.
            InvalidResultError: If it returned nothing that `step` may return.
            OSError: If the recording cannot be written.
            Exception: What the environment raises.
        """
        try:
            slab = self._encode_action(action)
        except Violation as error:
            raise InvalidActionError(
                f"the action was refused: {error}. The environment was not called"
            ) from error
        plain = self._plain
        try:
            if self._served:
                returned = self._env.step(action)
            elif plain is None or (returned := plain.step(self._env, slab)) is plain:
                returned = self._env.step(self._decode_action(slab))
        except Exception as error:
            if _is_of_env(error):
                self._fail(slab, error)
            raise
        try:
            step = self._encode_step(slab, returned)
        except (Violation, BadResultError) as error:
            self._fail(slab, error)
            self._refuse("step", error)
            return returned
        writer = self.writer
        items = writer.items
        items.append(step)
        if len(items) > writer.most:
            writer.flush()
        return returned

    def _fail(self, slab: bytes, error: Exception) -> None:
        calls = recording_pb2.RecordedCalls.FromString(self._calls.action_field(slab))
        calls.failure.CopyFrom(failure_of("step()", error))
        self._note(Noted(calls, begins=False, ends=True, count=1))

    def _note(self, noted: Noted) -> None:
        writer = self.writer
        writer.items.append(noted)
        if len(writer.items) > writer.most:
            writer.flush()

    def _refuse(self, call: str, error: Violation | BadResultError) -> None:
        """Raises what is wrong with a result, unless the server does."""
        if self._served:
            return
        if isinstance(error, Violation):
            raise InvalidObservationError(
                f"the observation that {call}() returned cannot be recorded, because its space "
                f"does not hold it: {error}"
            ) from error
        raise InvalidResultError(str(error)) from error


def _is_of_env(error: Exception) -> bool:
    """Whether it is an exception of the environment, and not of the way to it."""
    return isinstance(error, RemoteEnvError) or not isinstance(error, RlmeshError)


def check_observations(word: object) -> bool:
    """Whether only digests of observations are kept.

    Raises:
        InvalidArgumentError: If it is neither `all` nor `digest`.
    """
    if word not in ("all", "digest"):
        raise InvalidArgumentError(f"observations must be 'all' or 'digest', got {word!r:.80}")
    return word == "digest"
