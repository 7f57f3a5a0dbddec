"""Calls of an environment as bytes: fields of `RecordedCalls`, in protobuf's own encoding."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from rlmesh.codec.checks.conformance import compile_fast_check_of
from rlmesh.codec.infos.packing import Degraded, pack_info, pack_listing
from rlmesh.codec.slab.layout import BufferTooSmallError, Layout, compile_layout
from rlmesh.codec.slab.violations import Violation
from rlmesh.codec.step.plain import (
    PlainAction,
    WritePlainResult,
    compile_plain_action,
    compile_plain_result,
)
from rlmesh.codec.step.result import compile_step_result
from rlmesh.codec.step.wire import INNER, padded, tag_of
from rlmesh.contract import EnvContract
from rlmesh.envs.raised import env_raised
from rlmesh.envs.results import (
    flag_of,
    flags_of,
    reward_of,
    rewards_of,
    split_reset,
    split_step,
)
from rlmesh.errors import RemoteEnvError
from rlmesh_api.v1 import recording_pb2, session_pb2

DIGEST_BYTES: Final = 16

_STEPS = tag_of(recording_pb2.RecordedCalls, "steps")
_ACTION = tag_of(session_pb2.StepCall, "action")
_RESULTS = tag_of(recording_pb2.RecordedCalls, "results")


class CallEncoder:
    """Encodes the calls of one environment. One thread at a time may call the methods.

    Args:
        contract: Its contract.
        digest: Whether to keep only digests of observations.

    Attributes:
        action: How actions stand in slabs.
        plain_action: Steps with plain actions in one call of C, where the space allows it.
    """

    def __init__(self, contract: EnvContract, *, digest: bool) -> None:
        num_envs = self._num_envs = contract.num_envs if contract.vector else None
        self.action: Layout = compile_layout(contract.action_space, num_envs)
        self._observation = compile_layout(contract.observation_space, num_envs)
        self._tuple_space = contract.observation_space.kind == "tuple"
        self._form = compile_step_result(num_envs)
        self._digest = digest
        self._before: dict[int, bytes] = {}
        self._buffer = bytearray(self._form.head + self._observation.size)
        acted = contract.action_space, num_envs, self.action, contract.batched_action_space
        observed = (
            contract.observation_space,
            num_envs,
            self._observation,
            contract.batched_observation_space,
        )
        self.plain_action: PlainAction | None = None
        self._write_plain: WritePlainResult | None = None
        if num_envs is None:
            self.plain_action = compile_plain_action(self.action, compile_fast_check_of(*acted))
            if not digest:
                self._write_plain = compile_plain_result(
                    self._observation, compile_fast_check_of(*observed)
                )

    @property
    def step_bytes(self) -> int:
        """About how many bytes a step has, without its info."""
        return self.action.size + self._observation.size + self._form.head + 2 * INNER

    def step(self, action: bytes, returned: Any) -> bytes:
        """A step that returned.

        Args:
            action: The action's slab.
            returned: What the environment returned.

        Raises:
            Violation: If the observation space does not hold the observation.
            BadResultError: If it is nothing that `step` may return.
        """
        if self._write_plain is not None:
            end = self._write_plain(returned, self._buffer, 0, _RESULTS)
            if end is not None:
                return self.action_field(action) + self._buffer[:end]
        return self.action_field(action) + self._result(returned)

    def action_field(self, action: bytes) -> bytes:
        """A step by itself, as it stands where it failed."""
        size = len(action)
        before = self._before.get(size)
        if before is None:
            before = _STEPS + padded(size + INNER) + _ACTION + padded(size)
            if len(self._before) < 64:
                self._before[size] = before
        return before + action

    def reset(self, seed: Any, options: Any) -> recording_pb2.RecordedCalls:
        """A reset, before it is known what it returns.

        Args:
            seed: What the environment is seeded with.
            options: The reset's options.
        """
        lost: list[Degraded] = []
        call = session_pb2.ResetCall()
        if seed is not None:
            call.seed, _ = pack_listing(seed)
        if options is not None:
            call.options, lost = pack_listing(options)
        return recording_pb2.RecordedCalls(
            reset=call, lost_options=[f"{each.path} ({each.type})" for each in lost]
        )

    def reset_result(self, returned: Any) -> session_pb2.ResetResult:
        """What a reset returned.

        Raises:
            Violation: If the observation space does not hold the observation.
            BadResultError: If it is nothing that `reset` may return.
        """
        observation, info = split_reset(returned, tuple_space=self._tuple_space)
        slab = bytes(self._observation.encode(observation, []))
        return session_pb2.ResetResult(observation=self._kept(slab), info=self._info(info))

    def _result(self, returned: Any) -> bytes:
        observation, reward, terminated, truncated, info = split_step(returned, self._num_envs)
        num_envs = self._num_envs
        numbers: tuple[Any, Any, Any]
        if num_envs is None:
            numbers = (
                reward_of(reward),
                flag_of(terminated, "terminated"),
                flag_of(truncated, "truncated"),
            )
        else:
            numbers = (
                rewards_of(reward, num_envs),
                flags_of(terminated, num_envs, "terminations"),
                flags_of(truncated, num_envs, "truncations"),
            )
        packed = self._info(info)
        head = self._form.head
        if self._digest:
            slab = self._kept(bytes(self._observation.encode(observation, [])))
            buffer = bytearray(head) + slab
            slab_end = len(buffer)
        else:
            buffer, slab_end = self._encoded(observation)
        more = slab_end + INNER + len(packed) - len(buffer)
        if packed and more > 0:
            buffer.extend(bytes(more))
        end = self._form.write(buffer, 0, _RESULTS, slab_end, numbers, packed)
        return bytes(memoryview(buffer)[:end])

    def _encoded(self, observation: Any) -> tuple[bytearray, int]:
        """A buffer with the observation's slab behind the head, and where the slab ends."""
        head, layout = self._form.head, self._observation
        try:
            length = layout.encode_into(observation, self._buffer, head, [])
        except BufferTooSmallError as error:
            # Texts: their length is known only now.
            self._buffer = bytearray(head + error.needed)
            length = layout.encode_into(observation, self._buffer, head, [])
        return self._buffer, head + length

    def _kept(self, slab: bytes) -> bytes:
        return digest_of(slab) if self._digest else slab

    def _info(self, info: Mapping[str, Any]) -> bytes:
        return pack_info(info, num_envs=self._num_envs)[0] if info else b""


def digest_of(slab: bytes) -> bytes:
    """What is kept of an observation where only a digest is."""
    return hashlib.blake2b(slab, digest_size=DIGEST_BYTES).digest()


def failure_of(doing: str, error: BaseException) -> session_pb2.Failure:
    """What is kept of an exception.

    Args:
        doing: What raised: `step()`.
        error: What it raised.
    """
    if isinstance(error, Violation):
        return session_pb2.Failure(
            code=session_pb2.ERROR_CODE_INVALID_OBSERVATION, message=str(error)
        )
    if isinstance(error, RemoteEnvError) and error.exception_type:
        # What a recorder beside the environment would have kept.
        return session_pb2.Failure(
            code=session_pb2.ERROR_CODE_ENVIRONMENT,
            message=str(error),
            exception_type=error.exception_type,
            exception_message=error.exception_message,
        )
    failure = env_raised(doing, error).failure
    # It names the files of this machine, and a replay on another one has others.
    failure.ClearField("traceback")
    return failure
