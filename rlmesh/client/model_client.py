"""What stands behind a `RemoteModel`: observations out, actions in."""

from __future__ import annotations

import warnings
from functools import lru_cache, partial
from time import perf_counter
from typing import Any

from rlmesh.adapters.adapter import Adapter
from rlmesh.client.arguments import reset_call
from rlmesh.client.endpoint_calls import EndpointCalls, wait_for
from rlmesh.client.model_endpoint import ModelConnectOptions, ModelEndpoint
from rlmesh.client.notices import Notices
from rlmesh.client.stats import PredictionStats, prediction_stats
from rlmesh.codec.infos.info_keys import CONFORMANCE_WARNING
from rlmesh.codec.infos.packable_types import kind_of
from rlmesh.codec.infos.type_guards import is_mapping
from rlmesh.codec.slab.arrays import SMALL
from rlmesh.codec.slab.layout import Layout, compile_layout
from rlmesh.codec.slab.violations import Deviation, Violation
from rlmesh.codec.step.prediction import (
    CALL_HEAD,
    Predicted,
    predicted,
    read_prediction,
    write_prediction_call,
    write_prediction_call_into,
)
from rlmesh.codec.vector.stacking import compile_checked_stack, compile_stack, compile_unstack
from rlmesh.contract import ModelContract
from rlmesh.errors import (
    ArgumentTypeError,
    EndpointError,
    InvalidArgumentError,
    InvalidObservationError,
    ProtocolError,
    StateError,
)
from rlmesh.foreign_text import LONGEST_TEXT, one_line
from rlmesh.transports.pipe import RESERVED
from rlmesh.transports.transport import Transport, Wait
from rlmesh_api.v1 import session_pb2

_PREDICT = Wait("predict")
# Where a call begins in the buffer of its transport: NumPy reads a slab faster that is aligned.
_CALL_START = RESERVED + -(RESERVED + CALL_HEAD) % 64
# How many sizes of batches are compiled and kept.
_MOST_SIZES = 32


class ModelClient(EndpointCalls):
    """One session with one model.

    Args:
        address: The endpoint's address.
        options: How to connect.

    Attributes:
        contract: The model's contract.
        adapter: What stands between an environment and the model.
        applied: The part of it that does not run beside the model. This client does not apply it.
        version: Which version of the model answers until the next reset.
        notices: What RLMesh has to say about the session's actions.
    """

    def __init__(self, address: str, options: ModelConnectOptions) -> None:
        endpoint = ModelEndpoint(options)
        super().__init__(address, options, endpoint, "predict")
        contract = endpoint.contract
        self.contract: ModelContract = contract
        self.adapter: Adapter | None = endpoint.adapter
        self.applied: Adapter | None = endpoint.applied
        self.version: int = self._session.version
        self.notices: Notices = Notices()
        self._copy = options.copy
        self._dependent: bool = contract.keeps_state
        observations, actions = endpoint.observation_space, endpoint.action_space
        self._observation: Layout = compile_layout(observations)
        self._action: Layout = compile_layout(actions)
        self._chunk: Layout = compile_layout(actions, contract.horizon)
        self._observations = lru_cache(_MOST_SIZES)(partial(compile_layout, observations))
        self._actions = lru_cache(_MOST_SIZES)(partial(compile_layout, actions))
        self._stack = compile_checked_stack(observations)
        self._stack_actions = compile_stack(actions)
        self._unstack_actions = compile_unstack(actions)
        # The layout of the answer to the call that was posted.
        self._awaited: Layout | None = None

    def reset(self, seed: Any, options: Any) -> None:
        """Begins an episode."""
        call, degraded = reset_call(seed, options, None)
        for part in degraded:
            warnings.warn(
                f"reset: a value of type {part.type} in the options cannot travel ({part.reason}) "
                f"and reaches the model as its text",
                stacklevel=3,
            )
        received = self.call(session_pb2.SessionRequest(reset=call), known=False)
        self.version = self.read(received, "reset").reset.version
        self.forget()

    def predict(self, observation: Any) -> Any:
        """The action for an observation."""
        self._send(self._observation, observation, self._action, False, 0)
        return self.take_prediction()

    def predict_chunk(self, observation: Any, prefix: Any, delay: int) -> Any:
        """The chunk for an observation."""
        nothing = prefix is None and delay == 0
        offer = None if nothing else self._offer(prefix, delay, chunk=True)
        self._send(self._observation, observation, self._chunk, True, 0, offer)
        return self.take_prediction()

    def predict_batch(self, observations: Any, *, chunk: bool) -> Any:
        """The actions, or the chunks, for a batch, stacked."""
        value, count = self._batch(observations)
        total = count * self.contract.horizon if chunk else count
        self._send(self._observations(count), value, self._actions(total), chunk, count)
        actions = self.take_prediction()
        if not chunk:
            return actions
        horizon, stack = self.contract.horizon, self._stack_actions
        rows = self._unstack_actions(actions, total)
        return stack([stack(rows[at : at + horizon]) for at in range(0, total, horizon)])

    def post_prediction(
        self, observation: Any, *, chunk: bool, prefix: Any = None, delay: int = 0
    ) -> None:
        """Sends an observation; `take_prediction` returns the answer. No other call between."""
        nothing = prefix is None and delay == 0
        offer = None if nothing else self._offer(prefix, delay, chunk=chunk)
        answer = self._chunk if chunk else self._action
        self._send(self._observation, observation, answer, chunk, 0, offer)

    def take_prediction(self) -> Any:
        """Awaits the answer to what was posted, and returns it."""
        layout, self._awaited = self._awaited, None
        if layout is None:
            raise StateError(
                f"take: nothing was posted to {self.address}; call post(observation) first"
            )
        try:
            received = self.take()
            found = read_prediction(*received, self._sequence)
            if found is None:
                found = predicted(self.read(received, "predict").predict)
            if found.deviations:
                self._note_deviations(found)
            try:
                value = layout.decode(found.buffer, found.start, found.nbytes, self._copy)
            except ValueError as error:
                raise ProtocolError(
                    f"the answer of {self.address} cannot be read: "
                    f"{one_line(str(error), LONGEST_TEXT)}. Its server is another "
                    f"version of RLMesh, or no RLMesh server"
                ) from error
            self.hot_tally.done = perf_counter()
            return value
        finally:
            # As `let_go`, without its frame.
            self._free.append(True)

    def stats(self) -> dict[str, PredictionStats]:
        """What the calls of each kind have cost in this session."""
        return {
            name: prediction_stats(tally, served)
            for name, (tally, served) in self.call_stats().items()
        }

    def _in_use(self) -> StateError:
        if self._awaited is None:
            return super()._in_use()
        return StateError(
            f"the answer to what was posted to {self.address} was not taken; call take() first"
        )

    def _offer(self, prefix: Any, delay: Any, *, chunk: bool) -> session_pb2.ChunkOffer:
        contract = self.contract
        given = {"prefix": prefix is not None, "delay": delay != 0}
        for name in (name for name, is_given in given.items() if is_given):
            if not getattr(contract, f"takes_{name}"):
                raise InvalidArgumentError(
                    f"the model {contract.id} takes no {name}: its predict_chunk has no such "
                    f"parameter, as model_contract.takes_{name} says; leave it out"
                )
        if not chunk:
            raise InvalidArgumentError(
                "a prefix and a delay are for a chunk; post with chunk=True, or leave them out"
            )
        horizon = contract.horizon
        if isinstance(delay, bool) or not isinstance(delay, int):
            raise ArgumentTypeError(f"delay must be a number of actions, got {delay!r:.80}")
        count = 0 if prefix is None else _length(prefix)
        if not (0 <= delay <= horizon and (prefix is None or 1 <= count <= horizon)):
            raise InvalidArgumentError(
                f"a prefix has 1 to {horizon} actions, the horizon of the model, and the delay is "
                f"0 to {horizon}, got {'no prefix' if prefix is None else count} and {delay}"
            )
        offer = session_pb2.ChunkOffer(count=count, delay=delay)
        if count:
            try:
                offer.prefix = self._actions(count).encode(prefix, [])
            except Violation as error:
                raise InvalidArgumentError(
                    f"the prefix was refused: {_reason(error, 'action')}. The model was not called"
                ) from error
        return offer

    def _send(
        self,
        layout: Layout,
        value: Any,
        answer: Layout,
        chunk: bool,
        count: int,
        offer: session_pb2.ChunkOffer | None = None,
    ) -> None:
        began = perf_counter()
        noticed: list[Deviation] = []
        large = layout.size > SMALL and not layout.has_text and offer is None
        slab = b"" if large else _encoded(layout, value, noticed)
        # The code of `hold`, `_begin` and `_post_written` stands here again, to save three frames.
        try:
            self._free.pop()
        except IndexError:
            raise self._in_use() from None
        try:
            timeout = self._request_timeout
            transport = self._transport
            if self._closed or self._behind or transport is None:
                transport = self._begin("predict", known=self._dependent)
            else:
                self._sequence += 1
            wait = _PREDICT if timeout is None else wait_for("predict", timeout)
            tally = self.hot_tally
            if large:
                try:
                    end = self._write(transport, wait, layout, value, chunk, count)
                    slab = b"" if end else _encoded(layout, value, noticed)
                except InvalidObservationError:
                    # Nothing was sent: the next call has this one's number.
                    self._sequence -= 1
                    raise
                if end:
                    self._before, self._behind = self._behind, True
                    self._posted_to, self._wait, self._message = transport, wait, None
                    self._tally, posted = tally, perf_counter()
                    transport.post_written(_CALL_START, end)
                    tally.begin(began, posted, end - _CALL_START)
                    self._awaited = answer
                    return
            if noticed or offer is not None:
                call = session_pb2.PredictCall(chunk=chunk, count=count, observation=slab)
                message = _message(self._sequence, call, noticed, offer)
            else:
                message = write_prediction_call(self._sequence, slab, chunk=chunk, count=count)
            tally.encoding += perf_counter() - began
            self._post(transport, message, wait)
            self._awaited = answer
        except BaseException:
            self.let_go()
            raise

    def _write(
        self,
        transport: Transport,
        wait: Wait,
        layout: Layout,
        value: Any,
        chunk: bool,
        count: int,
    ) -> int:
        """Writes a call where its transport sends it from: an image is copied once.

        Returns:
            Where the call ends; 0 where it must be sent as bytes.
        """
        slab = _CALL_START + CALL_HEAD
        noticed: list[Deviation] = []
        try:
            buffer = transport.reserve(slab + layout.size, wait)
            if buffer is None:
                return 0
            layout.encode_into(value, buffer, slab, noticed)
        except EndpointError:
            # Sending the bytes meets it again, and connects again.
            return 0
        except Violation as error:
            raise _refused(error) from error
        if noticed:
            return 0
        return write_prediction_call_into(
            buffer, _CALL_START, self._sequence, layout.size, chunk=chunk, count=count
        )

    def _note_deviations(self, found: Predicted) -> None:
        listed = [
            {
                "kind": each.kind,
                "path": each.path,
                "env_index": each.env_index if each.HasField("env_index") else None,
                "detail": each.detail,
            }
            for each in found.deviations
        ]
        self.notices.take({CONFORMANCE_WARNING: listed})

    def _batch(self, observations: Any) -> tuple[Any, int]:
        """Stacked observations, and how many they are."""
        if kind_of(observations) is list:
            count = len(observations)
            try:
                value = self._stack(observations) if count else None
            except Violation as error:
                raise InvalidObservationError(
                    f"the observation was refused: {_reason(error)}. The model was not called"
                ) from error
        else:
            value, count = observations, _length(observations)
        if not count:
            raise InvalidArgumentError(
                "predict_batch needs one observation or more, stacked or in a list, got none"
            )
        return value, count


def _encoded(layout: Layout, observation: Any, noticed: list[Deviation]) -> bytes:
    try:
        return layout.encode(observation, noticed)
    except Violation as error:
        raise _refused(error) from error


def _refused(error: Violation) -> InvalidObservationError:
    return InvalidObservationError(
        f"the observation was refused: {_reason(error)}. The model was not called"
    )


def _length(value: Any) -> int:
    """How many values are stacked in a value: the length of its first leaf."""
    while True:
        if is_mapping(value):
            parts: list[Any] = list(value.values())
        elif kind_of(value) is tuple:
            parts = [*value]
        else:
            break
        # A Text is stacked in a tuple.
        if not parts or isinstance(parts[0], str):
            return len(parts)
        value = parts[0]
    try:
        return len(value)
    except TypeError:
        return 0


def _message(
    sequence: int,
    call: session_pb2.PredictCall,
    noticed: list[Deviation],
    offer: session_pb2.ChunkOffer | None,
) -> bytes:
    """The message of a call with what is mostly absent."""
    for part in noticed:
        call.deviations.add(
            kind=part.kind, path=part.path, env_index=part.env_index, detail=part.detail
        )
    if offer is not None:
        call.offer.CopyFrom(offer)
    message: bytes = session_pb2.SessionRequest(sequence=sequence, predict=call).SerializeToString()
    return message


def _reason(error: Violation, noun: str = "observation") -> str:
    where = "" if error.env_index is None else f" of {noun} {error.env_index}"
    return one_line(f"{error.path}{where}: {error.detail}", LONGEST_TEXT)
