"""The codecs of a session with steps beside the model, whose client has other spaces than that."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np

from rlmesh.adapters.adapter import Adapter
from rlmesh.adapters.endpoints import read_steps
from rlmesh.adapters.placement import strangers_adapter
from rlmesh.codec.slab.layout import BufferTooSmallError, Layout, Writable, compile_layout
from rlmesh.codec.slab.violations import Deviation
from rlmesh.codec.step.prediction import RESULT_HEAD, Asked
from rlmesh.codec.vector.stacking import compile_stack, compile_unstack
from rlmesh.contract import ModelContract, received_model_contract
from rlmesh.errors import (
    ContractMismatchError,
    InvalidActionError,
    InvalidArgumentError,
    InvalidObservationError,
    StateError,
)
from rlmesh.limits import MAX_MESSAGE_BYTES
from rlmesh.server.failures import failed
from rlmesh.server.models.codecs import MOST_IN_A_REQUEST, ModelCodecs, bad_observation, too_many
from rlmesh.transports.pipe import Outbox
from rlmesh.transports.scratch import Scratch
from rlmesh_api.contract import AdapterFlow
from rlmesh_api.v1 import session_pb2

# How many sizes of batches are compiled and kept.
_MOST_SIZES = 32
# The most bytes of the message with the spaces and the steps, for each byte of the model's values:
# bounds may be numbers for each element.
_LEAST_MESSAGE, _MESSAGE_BYTES = 1 << 20, 32


class AdaptedCodecs:
    """The functions that the values of a session go through; see `ModelCodecs`.

    The slot's thread uses it.

    Args:
        model: Those of the model, which check its observations and its actions.
        contract: The model's contract.
        call: What the client asks for, as it came.

    Raises:
        CallFailedError: If it cannot be done.
    """

    def __init__(
        self, model: ModelCodecs, contract: ModelContract, call: session_pb2.SessionAdaptation
    ) -> None:
        self._model = model
        self._horizon = contract.horizon
        adapter = self._adapter = _adapter_of(call, contract, model)
        flows = {step.on for step in adapter.steps}
        self._adapts_observations = AdapterFlow.OBSERVATION in flows or (
            adapter.env_observation_space != contract.observation_space
        )
        self._adapts_actions = AdapterFlow.ACTION in flows or (
            adapter.env_action_space != contract.action_space
        )
        self._received = _layouts(adapter.env_observation_space)
        self._unstack = compile_unstack(adapter.env_observation_space)
        self._observations = _layouts(contract.observation_space)
        self._stack = compile_stack(contract.observation_space)
        self._actions = _layouts(contract.action_space)
        self._unstack_actions = compile_unstack(contract.action_space)
        self._sent = _layouts(adapter.env_action_space)
        self._stack_actions = compile_stack(adapter.env_action_space)
        # Where the answers of the model stand, to be checked as its space says.
        self._scratch = _Outbox()

    def decode(self, asked: Asked, noticed: Iterable[session_pb2.Deviation]) -> list[Any]:
        """The observations for the model, after the steps and checked; see `ModelCodecs`."""
        if not self._adapts_observations:
            return self._model.decode(asked, noticed)
        count = asked.batch or None
        if asked.batch > MOST_IN_A_REQUEST:
            raise too_many(asked.batch)
        if asked.batch * self._model.observation_size > MAX_MESSAGE_BYTES:
            # What is small here may be large for the model.
            raise bad_observation(
                f"{asked.batch} of them have more than {MAX_MESSAGE_BYTES} bytes for the model"
            )
        layout = self._received(count)
        try:
            value = layout.decode(asked.message, asked.start, asked.nbytes, False)
            parts = [value] if count is None else self._unstack(value, count)
        except ValueError as error:
            raise failed(
                session_pb2.ERROR_CODE_PROTOCOL, f"the observation's slab is damaged: {error}"
            ) from error
        try:
            adapted = [self._adapter.observation(each) for each in parts]
        except InvalidObservationError as error:
            raise bad_observation(str(error)) from error
        slab = _slab_of(
            self._observations(count), adapted[0] if count is None else self._stack(adapted)
        )
        return self._model.decode(asked._replace(message=slab, start=0, nbytes=len(slab)), noticed)

    def decode_offer(self, offer: session_pb2.ChunkOffer, asked: Asked) -> tuple[Any, int]:
        """What a model may plan a chunk on from: actions of the model; see `ModelCodecs`."""
        return self._model.decode_offer(offer, asked)

    def encode_into(
        self, answers: list[Any], asked: Asked, outbox: Outbox, start: int
    ) -> tuple[Writable, int, Sequence[Deviation]]:
        """Checks what the model has answered, and writes it after the steps; see `ModelCodecs`."""
        if not self._adapts_actions:
            return self._model.encode_into(answers, asked, outbox, start)
        buffer, end, deviations = self._model.encode_into(answers, asked, self._scratch, 0)
        count = (asked.batch or 1) * self._horizon if asked.chunk else asked.batch or None
        value = self._actions(count).decode(buffer, RESULT_HEAD, end - RESULT_HEAD, False)
        parts = [value] if count is None else self._unstack_actions(value, count)
        try:
            adapted = [self._adapter.action(each) for each in parts]
        except InvalidActionError as error:
            raise failed(
                session_pb2.ERROR_CODE_INVALID_ACTION,
                f"the model's answer was refused: {error}",
                error,
            ) from error
        value = adapted[0] if count is None else self._stack_actions(adapted)
        layout, base = self._sent(count), start + RESULT_HEAD
        sent = outbox.reserve(base + layout.size, start)
        try:
            length = layout.encode_into(value, sent, base)
        except BufferTooSmallError as error:
            sent = outbox.reserve(base + error.needed, start)
            length = layout.encode_into(value, sent, base)
        return sent, base + length, deviations


class _Outbox(Scratch):
    """Where an answer stands that is not sent; see `rlmesh.transports.pipe.Outbox`."""

    reserved = 0


def _adapter_of(
    call: session_pb2.SessionAdaptation, contract: ModelContract, model: ModelCodecs
) -> Adapter:
    most = max(_LEAST_MESSAGE, _MESSAGE_BYTES * max(model.observation_size, model.answer_size))
    try:
        if call.ByteSize() > most:
            raise ValueError(f"expected at most {most} bytes, got {call.ByteSize()}")
        message = contract.to_proto()
        message.observation_space.CopyFrom(call.observation_space)
        message.action_space.CopyFrom(call.action_space)
        message.adaptation.CopyFrom(call.adaptation)
        crossing = received_model_contract(message)
        return strangers_adapter(
            (contract.observation_space, contract.action_space),
            (crossing.observation_space, crossing.action_space),
            read_steps(crossing.adaptation),
        )
    except (ValueError, ContractMismatchError, InvalidArgumentError, StateError) as error:
        raise failed(
            session_pb2.ERROR_CODE_INVALID_ARGUMENT,
            f"the steps of the session were refused: {error}",
        ) from error


def _layouts(space: Any) -> Any:
    return lru_cache(_MOST_SIZES)(partial(compile_layout, space))


def _slab_of(layout: Layout, value: Any) -> Any:
    """A slab that is left to its reader, which need not copy it once more."""
    if layout.has_text:
        return layout.encode(value)
    slab = np.empty(layout.size, np.uint8).data
    layout.encode_into(value, slab)
    return slab
