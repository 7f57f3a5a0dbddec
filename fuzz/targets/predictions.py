"""Predictions: what a worker executes and a client reads, in the fixed form and by protobuf."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterable
from random import Random
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

import rlmesh
from fuzz import environments, golden
from fuzz.fed_transport import FedTransport, put
from fuzz.messages import message_mutator
from fuzz.target import Feed, Target, expect
from rlmesh.client.model_client import ModelClient
from rlmesh.codec.checks.policy import Policy
from rlmesh.codec.slab.layout import compile_layout
from rlmesh.codec.step.prediction import (
    Predicted,
    predicted,
    read_prediction,
    read_prediction_call,
    write_prediction_call,
)
from rlmesh.codec.step.wire import sequence_of
from rlmesh.errors import RlmeshError
from rlmesh.server.failures import CallFailedError
from rlmesh.server.models.backend import ModelBackend
from rlmesh.server.models.options import ModelOptions
from rlmesh.server.models.provider import MODEL
from rlmesh.server.models.served_model import ServedModel
from rlmesh.server.sessions.requests import read_request
from rlmesh.spaces import from_gymnasium_space
from rlmesh.transports.grpc.outbox import StreamOutbox
from rlmesh_api.v1 import session_pb2

_HORIZON = 3
_SPACE = environments.single().observation_space
_SPACE.seed(0)
_VALUE = _SPACE.sample()
_POLICIES = tuple(Policy)
_BEFORE, _AFTER = b"\xee" * 24, b"\xff" * 12
_CLIENTS_MISTAKE = (
    session_pb2.ERROR_CODE_PROTOCOL,
    session_pb2.ERROR_CODE_INVALID_ARGUMENT,
    session_pb2.ERROR_CODE_INVALID_OBSERVATION,
)


class _Planner:
    """Answers every observation with itself, and a chunk with copies of it."""

    observation_space = action_space = _SPACE
    horizon = _HORIZON
    id = "planner"

    def reset(self, context: rlmesh.ModelContext) -> None:
        """Begins an episode."""
        context.state = 0

    def predict(self, observation: Any, context: rlmesh.ModelContext) -> Any:
        """The observation, which its space holds."""
        context.state += 1
        return observation

    def predict_chunk(self, observation: Any, prefix: Any = None, delay: int = 0) -> Any:
        """What a client may offer has at most the horizon's length."""
        expect(0 <= delay <= _HORIZON, f"a delay of {delay}")
        if prefix is not None:
            expect(1 <= len(prefix["box"]) <= _HORIZON, f"a prefix of {len(prefix['box'])}")
        return _stacked([_VALUE] * _HORIZON)


def _stacked(values: list[Any]) -> Any:
    return {
        "box": np.stack([value["box"] for value in values]),
        "flags": np.stack([value["flags"] for value in values]),
        "discrete": np.stack([value["discrete"] for value in values]),
        "text": tuple(value["text"] for value in values),
        "many": tuple(np.stack([value["many"][part] for value in values]) for part in (0, 1)),
    }


@contextlib.contextmanager
def _opened() -> Generator[Feed]:
    served: list[ServedModel] = []
    with contextlib.ExitStack() as stack:
        for policy in _POLICIES:
            model = ServedModel(_Planner(), None, {}, ModelOptions(policy=policy))
            model.current.thread.start()
            stack.callback(model.current.thread.stop)
            served.append(model)
        worker = stack.enter_context(rlmesh.ModelWorker(_Planner()))
        remote = rlmesh.RemoteModel(worker.address, transport="grpc", reconnect=False)
        stack.callback(remote.close)
        client = remote._client
        own = client._transport
        answered = _reader(client)

        def feed(data: bytes) -> None:
            if not data:
                return
            place = data[0] % (len(served) + 1)
            if place < len(served):
                _execute(served[place], data[1:])
            else:
                answered(data[0] // (len(served) + 1), data[1:])

        yield feed
        put(client, own)


def _execute(served: ServedModel, message: bytes) -> None:
    """Has a new session execute a request."""
    _check_call(message)
    try:
        request = read_request(message, MODEL)
    except DecodeError:
        return
    backend, outbox = ModelBackend(served), StreamOutbox()
    try:
        start, end = backend.answer(request, outbox)
    except CallFailedError as error:
        failure = error.failure
        text = f"{session_pb2.ErrorCode.Name(failure.code)}: {failure.message}\n{failure.traceback}"
        expect(failure.code in _CLIENTS_MISTAKE, text)
        return
    finally:
        backend.end()
    written = outbox.message(start, end)
    answer = session_pb2.SessionResponse.FromString(written)
    expect(answer.sequence == request.sequence, "another call was answered")
    expect(answer.WhichOneof("answer") == request.kind, "a call has another call's answer")
    if request.kind == "predict" and not answer.predict.deviations:
        found = read_prediction(written, 0, len(written), request.sequence)
        expect(found is not None, "an answer is not in the fixed form")


def _check_call(message: bytes) -> None:
    """The fixed form reads what protobuf reads."""
    found = read_prediction_call(message)
    if found is None:
        return
    request = session_pb2.SessionRequest.FromString(message)
    expect(request.WhichOneof("call") == "predict", "no prediction was read as one")
    sequence, asked = found
    call = request.predict
    slab = asked.message[asked.start : asked.start + asked.nbytes]
    here = (sequence, asked.chunk, asked.batch, slab, asked.offer is not None)
    there = (request.sequence, call.chunk, call.count, call.observation, call.HasField("offer"))
    expect(here == there, f"{here!r} was read of {there!r}")


_CALLS: tuple[Callable[[ModelClient], object], ...] = (
    lambda client: client.predict(_VALUE),
    lambda client: client.predict_chunk(_VALUE, None, 0),
    lambda client: client.predict_batch([_VALUE] * 2, chunk=False),
    lambda client: client.predict_batch([_VALUE] * 2, chunk=True),
    lambda client: client.reset(None, None),
    lambda client: client.stats(),
)


def _reader(client: ModelClient) -> Callable[[int, bytes], None]:
    """Has a client read an answer to one of its calls."""
    transport = FedTransport()

    def read(chosen: int, message: bytes) -> None:
        _check_answer(message)
        transport.answer = message
        put(client, transport)
        with contextlib.suppress(RlmeshError):
            _CALLS[chosen % len(_CALLS)](client)
        expect(client._free == [True], "no call is running, and the connection is held")

    return read


def _check_answer(message: bytes) -> None:
    """The fixed form reads what protobuf reads, wherever the message stands."""
    sequence = sequence_of(message) or 0
    around = _BEFORE + message + _AFTER
    start, end = len(_BEFORE), len(_BEFORE) + len(message)
    found = read_prediction(message, 0, len(message), sequence)
    same = read_prediction(memoryview(around), start, end, sequence)
    expect((found is None) == (same is None), "an answer is another one at another place")
    if found is None or same is None:
        return
    expect(_plain(found) == _plain(same), "an answer is another one at another place")
    by_protobuf = session_pb2.SessionResponse.FromString(message)
    expect(by_protobuf.WhichOneof("answer") == "predict", "no prediction was read as one")
    expect(_plain(found) == _plain(predicted(by_protobuf.predict)), "another answer was read")


def _plain(found: Predicted) -> tuple[Any, ...]:
    slab = bytes(found.buffer[found.start : found.start + found.nbytes])
    seconds = np.array([found.queue_seconds, found.model_seconds]).tobytes()
    return slab, seconds, found.batch_size, len(found.deviations)


def _seeds() -> Iterable[bytes]:
    kinds = len(_POLICIES) + 1
    for place, request in enumerate(_requests()):
        yield bytes([place % len(_POLICIES)]) + request
    for place, answer in enumerate(_answers()):
        yield bytes([len(_POLICIES) + kinds * (place % len(_CALLS))]) + answer
    for request, answer in golden.predictions():
        yield b"\0" + request
        yield bytes([len(_POLICIES)]) + answer


def _slab(count: int | None = None) -> bytes:
    value = _VALUE if count is None else _stacked([_VALUE] * count)
    return bytes(compile_layout(from_gymnasium_space(_SPACE), count).encode(value, []))


def _requests() -> Iterable[bytes]:
    one, two = _slab(), _slab(2)
    for slab, count in ((one, 0), (two, 2)):
        for chunk in (False, True):
            yield write_prediction_call(2, slab, chunk=chunk, count=count)
    noticed = session_pb2.Deviation(kind="overflow", path="$.box", env_index=1, detail="much")
    offer = session_pb2.ChunkOffer(count=2, prefix=two, delay=1)
    for call in (
        session_pb2.PredictCall(chunk=True, observation=one, offer=offer),
        session_pb2.PredictCall(observation=one, deviations=[noticed]),
    ):
        yield session_pb2.SessionRequest(sequence=2, predict=call).SerializeToString()
    for other in (
        session_pb2.SessionRequest(sequence=2, reset=session_pb2.ResetCall(seed=b"\x03")),
        session_pb2.SessionRequest(sequence=2, stats=session_pb2.StatsCall()),
    ):
        yield other.SerializeToString()


def _answers() -> Iterable[bytes]:
    noticed = session_pb2.Deviation(kind="bounds", path="$.box", detail="much")
    slabs = [_slab(), _slab(_HORIZON), _slab(2), _slab(2 * _HORIZON)]
    answers = [
        session_pb2.SessionResponse(
            sequence=1, predict=session_pb2.PredictResult(action=slab, deviations=[noticed])
        )
        for slab in slabs
    ]
    answers += [
        session_pb2.SessionResponse(sequence=1, reset=session_pb2.ResetResult(version=2)),
        session_pb2.SessionResponse(sequence=1, stats=session_pb2.StatsResult()),
    ]
    return [answer.SerializeToString() for answer in answers]


_mutate_request = message_mutator(session_pb2.SessionRequest)
_mutate_answer = message_mutator(session_pb2.SessionResponse)


def _mutate(data: bytes, random: Random) -> bytes | None:
    """Keeps what is around the lengths, or a message that protobuf writes in its own form."""
    if len(data) < 2:
        return None
    if random.random() < 0.5:
        asks = data[0] % (len(_POLICIES) + 1) < len(_POLICIES)
        message = (_mutate_request if asks else _mutate_answer)(data[1:], random)
        return None if message is None else data[:1] + message
    changed = bytearray(data)
    at = random.randrange(len(changed))
    changed[at] = random.choice((0, 1, 2, 0x7F, 0x80, 0xFF, changed[at] ^ 1, changed[at] ^ 0x80))
    return bytes(changed)


PREDICTIONS = Target(
    "predictions",
    "predictions, as a worker executes and a client reads them",
    _opened,
    _seeds,
    _mutate,
)
