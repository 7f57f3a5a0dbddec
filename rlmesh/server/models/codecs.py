"""Decodes and checks observations, encodes and checks actions: compiled from a model's contract."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

from rlmesh.codec.checks.conformance import (
    Check,
    Policy,
    compile_check,
    compile_fast_check_of,
)
from rlmesh.codec.checks.fast_checks import FastCheck
from rlmesh.codec.slab.layout import BufferTooSmallError, Layout, Writable, compile_layout
from rlmesh.codec.slab.violations import Deviation, Violation
from rlmesh.codec.step.prediction import RESULT_HEAD, Asked
from rlmesh.codec.vector.stacking import compile_stack, compile_unstack
from rlmesh.server.failures import CallFailedError, failed
from rlmesh.transports.pipe import Outbox
from rlmesh_api.contract import ModelContract, Space
from rlmesh_api.v1 import session_pb2

# How many sizes of batches are compiled and kept.
_MOST_SIZES = 32
# The most values of one request: what is compiled for a batch must stay small.
MOST_IN_A_REQUEST = 1 << 16
_NOTHING: Sequence[Deviation] = ()


class _Form(NamedTuple):
    """One space with so many values at once: how they stand in a slab, and their check."""

    layout: Layout
    check: Check
    holds: FastCheck


class ModelCodecs:
    """The functions that a model's values go through.

    Args:
        contract: The model's contract.
        policy: What to do about values outside of their bounds.
    """

    def __init__(self, contract: ModelContract, policy: Policy) -> None:
        self._policy = policy
        self._horizon = contract.horizon
        self._observation = _compiled(contract.observation_space, policy)
        self._action = _compiled(contract.action_space, policy)
        self._chunk = _compiled(contract.action_space, policy, contract.horizon)
        self._stack_actions = compile_stack(contract.action_space)
        self._unstack_actions = compile_unstack(contract.action_space)
        self._unstack_observations = compile_unstack(contract.observation_space)
        self._observations = lru_cache(_MOST_SIZES)(
            partial(_compiled, contract.observation_space, policy)
        )
        self._actions = lru_cache(_MOST_SIZES)(partial(_compiled, contract.action_space, policy))

    @property
    def observation_size(self) -> int:
        """The bytes of one observation's slab, without texts."""
        return self._observation.layout.size

    @property
    def answer_size(self) -> int:
        """The bytes of the larger of an action's and a chunk's slab, without texts."""
        return max(self._action.layout.size, self._chunk.layout.size)

    def decode(self, asked: Asked, noticed: Iterable[session_pb2.Deviation]) -> list[Any]:
        """The observations that a prediction is asked for, checked; one or more.

        Raises:
            CallFailedError: If the observation space does not hold one, or the slab is damaged.
        """
        count = asked.batch
        if count > MOST_IN_A_REQUEST:
            raise too_many(count)
        form = self._observations(count) if count else self._observation
        try:
            value = form.layout.decode(asked.message, asked.start, asked.nbytes, True)
            if not form.holds(asked.message, asked.start):
                form.check(asked.message, asked.start, self._policy)
        except Violation as error:
            raise bad_observation(_reason(error, "observation")) from error
        except ValueError as error:
            raise failed(
                session_pb2.ERROR_CODE_PROTOCOL, f"the observation's slab is damaged: {error}"
            ) from error
        if self._policy is Policy.STRICT:
            for each in noticed:
                raise bad_observation(f"{each.path}: {each.detail}")
        return self._unstack_observations(value, count) if count else [value]

    def decode_offer(self, offer: session_pb2.ChunkOffer, asked: Asked) -> tuple[Any, int]:
        """What a model may plan a chunk on from, checked: the prefix or None, and the delay.

        Raises:
            CallFailedError: If it is for no chunk, or the action space does not hold the prefix.
        """
        if not asked.chunk or asked.batch or max(offer.count, offer.delay) > self._horizon:
            raise failed(
                session_pb2.ERROR_CODE_PROTOCOL,
                f"a prefix and a delay of at most {self._horizon} actions, the horizon, may be "
                f"offered with one observation, for a chunk, got {offer.count} and {offer.delay}",
            )
        if not offer.count:
            return None, offer.delay
        form, slab = self._actions(offer.count), offer.prefix
        try:
            prefix = form.layout.decode(slab, 0, len(slab), True)
            if not form.holds(slab, 0):
                form.check(slab, 0, self._policy)
        except Violation as error:
            raise failed(
                session_pb2.ERROR_CODE_INVALID_ARGUMENT,
                f"the prefix was refused: {_reason(error, 'action')}. The model was not called",
            ) from error
        except ValueError as error:
            raise failed(
                session_pb2.ERROR_CODE_PROTOCOL, f"the prefix's slab is damaged: {error}"
            ) from error
        return prefix, offer.delay

    def encode_into(
        self, answers: list[Any], asked: Asked, outbox: Outbox, start: int
    ) -> tuple[Writable, int, Sequence[Deviation]]:
        """Writes the slab of what the model has answered behind the head of a result.

        Args:
            answers: The action, or the chunk, for each observation.
            asked: The question.
            outbox: Where to write it.
            start: Where the result begins.

        Returns:
            The buffer, where the slab ends in it, and the deviations.

        Raises:
            CallFailedError: If the action space does not hold an answer.
        """
        found: list[Deviation] = []
        try:
            if asked.batch:
                value, form = self._batched(answers, asked)
            else:
                value, form = answers[0], self._chunk if asked.chunk else self._action
            layout, base = form.layout, start + RESULT_HEAD
            buffer = outbox.reserve(base + layout.size, start)
            try:
                length = layout.encode_into(value, buffer, base, found)
            except BufferTooSmallError as error:
                # Texts: their length is known only now.
                found.clear()
                buffer = outbox.reserve(base + error.needed, start)
                length = layout.encode_into(value, buffer, base, found)
            end = base + length
            if not found and form.holds(buffer, base):
                return buffer, end, _NOTHING
            if found and self._policy is Policy.STRICT:
                first = found[0]
                raise Violation(first.kind, first.path, first.env_index, first.detail)
            return buffer, end, [*found, *form.check(buffer, base, self._policy)]
        except Violation as error:
            raise failed(
                session_pb2.ERROR_CODE_INVALID_ACTION,
                f"the model's answer was refused: {_reason(error, 'action')}",
                error,
            ) from error

    def _batched(self, answers: list[Any], asked: Asked) -> tuple[Any, _Form]:
        """The answers to a request with several observations, stacked."""
        if asked.chunk:
            answers = [
                each for chunk in answers for each in self._unstack_actions(chunk, self._horizon)
            ]
        return self._stack_actions(answers), self._actions(len(answers))


def _compiled(space: Space, policy: Policy, count: int | None = None) -> _Form:
    layout = compile_layout(space, count)
    return _Form(
        layout,
        compile_check(space, count, layout),
        compile_fast_check_of(space, count, layout, None, policy),
    )


def _reason(error: Violation, noun: str) -> str:
    """What is wrong, with the place in a chunk or a batch where it is known."""
    where = "" if error.env_index is None else f" of {noun} {error.env_index}"
    return f"{error.path}{where}: {error.detail}"


def too_many(count: int) -> CallFailedError:
    """Why a request with so many observations is refused."""
    return failed(
        session_pb2.ERROR_CODE_PROTOCOL,
        f"a request has at most {MOST_IN_A_REQUEST} observations, got {count}",
    )


def bad_observation(reason: str) -> CallFailedError:
    """Why a request is refused whose observation the model does not take."""
    return failed(
        session_pb2.ERROR_CODE_INVALID_OBSERVATION,
        f"the observation was refused: {reason}. The model was not called",
    )
