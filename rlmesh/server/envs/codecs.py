"""The functions that a served environment's values go through, compiled from its contract."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeAlias

from rlmesh.codec.checks.conformance import (
    Nan,
    Policy,
    compile_check,
    compile_fast_check_of,
)
from rlmesh.codec.slab.layout import BufferTooSmallError, Layout, Readable, Writable, compile_layout
from rlmesh.codec.slab.violations import Deviation, Violation
from rlmesh.codec.step.plain import (
    ReadPlainAction,
    WritePlainResult,
    compile_plain_action,
    compile_plain_result,
)
from rlmesh.codec.step.result import StepResultCodec, compile_step_result
from rlmesh.contract import EnvContract
from rlmesh.server.failures import CallFailedError, failed
from rlmesh.transports.pipe import Outbox
from rlmesh_api.v1 import session_pb2

Noticed: TypeAlias = Iterable[session_pb2.Deviation]
"""The deviations that a client found when it encoded an action."""

NOTHING: Final[Sequence[Deviation]] = ()
"""No deviations, of an action or an observation."""


class Codecs:
    """Decodes and checks actions, encodes and checks observations.

    Args:
        contract: The environment's contract.
        num_envs: The number of sub-environments; None for a single environment.
        policy: What to do about values outside of their bounds.

    Attributes:
        num_envs: As given.
        form: How the results of steps stand in messages.
        observation: How observations stand in slabs.
        action: How actions do.
        read_plain: Reads actions in one call, where that can be.
        write_plain: Writes results in one call, where that can be.
        room: How many bytes are reserved for a step's result at first: what the last one with a
            text or an info needed. A second reservation costs a copy, or a second encoding.
    """

    def __init__(self, contract: EnvContract, num_envs: int | None, policy: Policy) -> None:
        self.num_envs = num_envs
        self.form: StepResultCodec = compile_step_result(num_envs)
        self.observation: Layout = compile_layout(contract.observation_space, num_envs)
        self.action: Layout = compile_layout(contract.action_space, num_envs)
        self.room: int = self.form.head + self.observation.size
        self._policy = policy
        observed = (
            contract.observation_space,
            num_envs,
            self.observation,
            contract.batched_observation_space,
        )
        acted = contract.action_space, num_envs, self.action, contract.batched_action_space
        nan = Nan.DELIVER if contract.delivers_nan else Nan.REJECT
        self._check_observation, self._check_action = (
            compile_check(*observed, nan=nan),
            compile_check(*acted, nan=nan),
        )
        self._observation_holds = compile_fast_check_of(*observed, policy, nan=nan)
        self._action_holds = compile_fast_check_of(*acted, policy, nan=nan)
        self._decode_action = self.action.decode
        single = num_envs is None
        self.read_plain: ReadPlainAction | None = (
            compile_plain_action(self.action, self._action_holds) if single else None
        )
        self.write_plain: WritePlainResult | None = (
            compile_plain_result(self.observation, self._observation_holds) if single else None
        )

    def decode_action(self, slab: bytes, noticed: Noticed) -> tuple[Any, Sequence[Deviation]]:
        """Decodes and checks an action; returns it, and where it deviates from its space.

        Raises:
            CallFailedError: If the action space does not hold it, or the slab is damaged.
        """
        try:
            action = self._decode_action(slab)
            # The fast check holds nearly always, and saves the frame of the full check.
            if self._action_holds(slab, 0):
                return action, self._noticed(noticed) if noticed else NOTHING
            found = self._check_action(slab, 0, self._policy)
        except Violation as error:
            raise _bad_action(str(error)) from error
        except ValueError as error:
            raise failed(
                session_pb2.ERROR_CODE_PROTOCOL, f"the action's slab is damaged: {error}"
            ) from error
        return action, [*self._noticed(noticed), *found]

    def encode(self, observation: Any) -> tuple[bytes, list[Deviation]]:
        """Encodes an observation; returns its slab, and where it deviates from its space.

        Raises:
            Violation: If the observation space does not hold it, or the policy rejects a
                deviation.
        """
        found: list[Deviation] = []
        slab = bytes(self.observation.encode(observation, found))
        return slab, self._checked(slab, 0, found)

    def encode_into(
        self, observation: Any, outbox: Outbox, start: int
    ) -> tuple[Writable, int, Sequence[Deviation]]:
        """Writes an observation's slab behind the head of a step's result.

        Args:
            observation: What the environment gave.
            outbox: Where to write it.
            start: Where the result begins.

        Returns:
            The buffer, where the slab ends in it, and the deviations.

        Raises:
            Violation: If the observation space does not hold it, or the policy rejects a
                deviation.
        """
        layout, base = self.observation, start + self.form.head
        found: list[Deviation] = []
        buffer = outbox.reserve(start + self.room, start)
        try:
            length = layout.encode_into(observation, buffer, base, found)
        except BufferTooSmallError as error:
            # Texts: their length is known only now.
            found.clear()
            self.room = self.form.head + error.needed
            buffer = outbox.reserve(start + self.room, start)
            length = layout.encode_into(observation, buffer, base, found)
        if not found and self._observation_holds(buffer, base):
            return buffer, base + length, NOTHING
        return buffer, base + length, self._checked(buffer, base, found)

    def _checked(self, buffer: Readable, base: int, found: list[Deviation]) -> list[Deviation]:
        if found and self._policy is Policy.STRICT:
            first = found[0]
            raise Violation(first.kind, first.path, first.env_index, first.detail)
        return [*found, *self._check_observation(buffer, base, self._policy)]

    def _noticed(self, noticed: Noticed) -> list[Deviation]:
        deviations = [self._read(each) for each in noticed]
        if deviations and self._policy is Policy.STRICT:
            raise _bad_action(f"{deviations[0].path}: {deviations[0].detail}")
        return deviations

    def _read(self, noticed: session_pb2.Deviation) -> Deviation:
        """What a client noticed, if it can have noticed that; else it might fill our memory."""
        env_index = noticed.env_index if noticed.HasField("env_index") else None
        if (
            noticed.kind != "overflow"
            or all(noticed.path != leaf.path for leaf in self.action.leaves)
            or (env_index is not None and env_index >= (self.num_envs or 0))
        ):
            raise failed(
                session_pb2.ERROR_CODE_PROTOCOL,
                f"a client notices of an action what overflows in a part of the action space, and "
                f"in which of {self.num_envs or 'no'} sub-environments, got kind "
                f"{noticed.kind!r:.80}, path {noticed.path!r:.80}, env_index {env_index}",
            )
        return Deviation("overflow", noticed.path, env_index, noticed.detail)


def _bad_action(reason: str) -> CallFailedError:
    return failed(
        session_pb2.ERROR_CODE_INVALID_ACTION,
        f"the action was refused: {reason}. The environment was not called",
    )
