"""Executes the steps of a session, from an action's slab to the answer: every step passes here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

from rlmesh.codec.slab.protocols import Writable
from rlmesh.codec.slab.violations import Deviation
from rlmesh.codec.step.wire import (
    INNER,
    PREFIX,
    SEQUENCE,
    SEQUENCE_TAG,
    STEP,
    STEP_MANY,
    STEPS,
    frame,
    write_sequence,
)
from rlmesh.contract import AutoresetMode
from rlmesh.envs import forks
from rlmesh.envs.results import (
    BadResultError,
    flag_of,
    flags_of,
    reward_of,
    rewards_of,
    split_step,
)
from rlmesh.server.envs.codecs import NOTHING, Codecs, Noticed
from rlmesh.server.envs.infos import InfoPacker
from rlmesh.server.envs.unreadable import unreadable
from rlmesh.server.failures import FATAL, CallFailedError, env_raised
from rlmesh.server.timings import CallTiming, Timings
from rlmesh.transports.pipe import RESERVED, Outbox
from rlmesh_api.v1 import session_pb2

# Of the slab in its buffer: NumPy reads aligned numbers, and processors aligned cache lines.
_ALIGNMENT = 64
_pack_sequence = SEQUENCE.pack_into


class StepExecutor:
    """Steps an environment for one session.

    Args:
        env: The environment.
        codecs: What its values go through.
        infos: Packs its infos.
        timings: Where the time in the environment is added up.
        mode: The autoreset mode of a vector environment in this session.
        env_raised: Makes the failure that an exception of the environment is.

    Attributes:
        timing: How long the steps took.
    """

    def __init__(
        self,
        env: Any,
        codecs: Codecs,
        infos: InfoPacker,
        timings: Timings,
        mode: AutoresetMode | None,
        *,
        env_raised: Callable[[str, BaseException], CallFailedError] = env_raised,
    ) -> None:
        self._env = env
        self._codecs = codecs
        self._num_envs = codecs.num_envs
        self._process = forks.generation
        self._env_raised = env_raised
        self._write = codecs.form.write
        self._read_plain, self._write_plain = codecs.read_plain, codecs.write_plain
        self._pack = infos.pack
        self.timing: CallTiming = timings.of("step")
        self._many_timing = timings.of("step_many")
        # Whether a sub-environment whose episode is over stays so until it is reset.
        self._stays_over = mode is AutoresetMode.DISABLED
        # In shared memory, where views of it are handed out.
        slab = RESERVED + PREFIX + codecs.form.head
        self._start = RESERVED + -slab % _ALIGNMENT

    def step(
        self, sequence: int, action: bytes, outbox: Outbox, noticed: Noticed = (), /
    ) -> tuple[int, int]:
        """Steps the environment, and writes the answer.

        Args:
            sequence: The call's number.
            action: The action's slab.
            outbox: Where to write the answer.
            noticed: The deviations that the client found when it encoded the action.

        Returns:
            Where the answer begins and ends.

        Raises:
            CallFailedError: If the action, the environment or what it returned is at fault.
        """
        start = self._start if outbox.reserved else 0
        buffer, end, _ = self._step(action, noticed, outbox, start + PREFIX, STEP, self.timing)
        _pack_sequence(buffer, start, SEQUENCE_TAG, sequence)
        return start, end

    def step_many(
        self, call: session_pb2.StepManyCall, sequence: int, outbox: Outbox
    ) -> tuple[int, int]:
        """Steps the environment for one action after the other, and writes the answer.

        Args:
            call: The call.
            sequence: Its number.
            outbox: Where to write the answer.

        Returns:
            Where the answer begins and ends.

        Raises:
            CallFailedError: If a step failed in a way that ends the session.
        """
        start = outbox.reserved
        begin = start + PREFIX
        end = begin + INNER
        buffer = outbox.reserve(end)
        try:
            for step in call.steps:
                buffer, end, over = self._step(
                    step.action, step.deviations, outbox, end, STEPS, self._many_timing
                )
                if over:
                    break
        except CallFailedError as error:
            if error.failure.code in FATAL:
                raise
            rest = session_pb2.StepManyResult(failure=error.failure).SerializeToString()
            buffer = outbox.reserve(end + len(rest), end)
            buffer[end : end + len(rest)] = rest
            end += len(rest)
        frame(buffer, begin, STEP_MANY, end)
        write_sequence(buffer, start, sequence)
        return start, end

    def _step(
        self,
        slab: bytes,
        noticed: Noticed,
        outbox: Outbox,
        start: int,
        tag: bytes,
        timing: CallTiming,
    ) -> tuple[Writable, int, bool]:
        """Steps, and writes the result into the field that begins at `start`.

        Returns:
            The buffer, where the result ends, and whether an episode is over that goes no further.
        """
        # Station 7 of a step (docs/architecture.md): the action is decoded and checked.
        action, deviations = None, NOTHING
        if self._read_plain is not None and not noticed:
            action = self._read_plain(slab)
        if action is None:
            action, deviations = self._codecs.decode_action(slab, noticed)
        began = perf_counter()
        try:
            # Station 8 of a step: the environment steps.
            returned = self._env.step(action)
        except BadResultError as error:
            # Sub-environments of a list, and sub-environments whose autoreset mode is converted,
            # are read in the call.
            raise unreadable("step", error) from error
        except BaseException as error:
            if forks.generation != self._process:
                forks.end_process(error)
            raise self._env_raised("the environment's step()", error) from error
        finally:
            timing.environment += perf_counter() - began
        if forks.generation != self._process:
            forks.end_process(None)
        try:
            # Station 9 of a step: the result is checked, and encoded where the answer is sent from.
            if self._write_plain is not None and not deviations:
                buffer = outbox.reserve(start + self._codecs.room, start)
                written = self._write_plain(returned, buffer, start, tag)
                if written is not None:
                    return buffer, written, returned[2] or returned[3]
            return self._written(returned, deviations, outbox, start, tag)
        except BaseException as error:
            raise unreadable("step", error) from error

    def _written(
        self, returned: Any, deviations: Sequence[Deviation], outbox: Outbox, start: int, tag: bytes
    ) -> tuple[Writable, int, bool]:
        """Checks and writes any result; see `_step`."""
        observation, reward, terminated, truncated, info = split_step(returned, self._num_envs)
        buffer, end, more = self._codecs.encode_into(observation, outbox, start)
        if (
            self._num_envs is None
            and type(reward) is float
            and (terminated is True or terminated is False)
            and (truncated is True or truncated is False)
        ):
            numbers, over = (reward, terminated, truncated), terminated or truncated
        else:
            numbers, over = self._numbers(reward, terminated, truncated)
        packed = b""
        if info or deviations or more:
            packed = self._pack(info, [*deviations, *more])
            needed = end + INNER + len(packed)
            self._codecs.room = needed - start
            buffer = outbox.reserve(needed, end)
        return buffer, self._write(buffer, start, tag, end, numbers, packed), over

    def _numbers(
        self, reward: Any, terminated: Any, truncated: Any
    ) -> tuple[tuple[Any, Any, Any], bool]:
        """Reward and flags as they are sent; whether an episode is over that goes no further."""
        num_envs = self._num_envs
        if num_envs is None:
            reward = reward_of(reward)
            terminated = flag_of(terminated, "terminated")
            truncated = flag_of(truncated, "truncated")
            return (reward, terminated, truncated), terminated or truncated
        terminated = flags_of(terminated, num_envs, "terminations")
        truncated = flags_of(truncated, num_envs, "truncations")
        over = self._stays_over and bool(terminated.any() or truncated.any())
        return (rewards_of(reward, num_envs), terminated, truncated), over
