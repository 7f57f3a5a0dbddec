"""The messages of a prediction laid out by hand are those that protobuf writes and reads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlmesh.codec.step.prediction import (
    RESULT_HEAD,
    predicted,
    read_prediction,
    read_prediction_call,
    write_prediction,
    write_prediction_call,
)
from rlmesh.transports.grpc.outbox import StreamOutbox
from rlmesh_api.v1 import session_pb2

SEQUENCES = st.integers(0, 2**64 - 1)
COUNTS = st.integers(0, 2**32 - 1)


@given(SEQUENCES, st.binary(max_size=300), st.booleans(), COUNTS)
def test_a_call_is_what_protobuf_reads(sequence: int, slab: bytes, chunk: bool, count: int) -> None:
    message = write_prediction_call(sequence, slab, chunk=chunk, count=count)
    read = session_pb2.SessionRequest.FromString(message)
    asked = read.predict
    assert (read.sequence, read.WhichOneof("call")) == (sequence, "predict")
    assert (asked.observation, asked.chunk, asked.count) == (slab, chunk, count)
    found = read_prediction_call(message)
    assert found is not None
    number, question = found
    assert (number, question.chunk, question.batch) == (sequence, chunk, count)
    end = question.start + question.nbytes
    assert question.message[question.start : end] == slab
    assert end == len(message)


@given(SEQUENCES, st.binary(max_size=300), st.booleans(), COUNTS)
def test_a_call_as_protobuf_writes_it_is_left_to_protobuf(
    sequence: int, slab: bytes, chunk: bool, count: int
) -> None:
    call = session_pb2.PredictCall(observation=slab, chunk=chunk, count=count)
    message = session_pb2.SessionRequest(sequence=sequence, predict=call).SerializeToString()
    assert read_prediction_call(message) is None


@pytest.mark.parametrize("end", range(37))
def test_a_call_that_is_cut_short_is_none(end: int) -> None:
    message = write_prediction_call(7, b"x" * 9, chunk=True, count=3)
    assert read_prediction_call(message[:end]) is None


@given(st.binary(max_size=80))
def test_any_bytes_are_a_call_that_protobuf_reads_too_or_none(message: bytes) -> None:
    found = read_prediction_call(message)
    if found is not None:
        assert session_pb2.SessionRequest.FromString(message).sequence == found[0]


@given(st.integers(0, 10_000), st.integers(0, 255))
def test_a_damaged_byte_of_the_head_changes_the_call_or_makes_it_none(
    place: int, value: int
) -> None:
    message = bytearray(write_prediction_call(7, b"", chunk=True, count=3))
    message[place % len(message)] = value
    found = read_prediction_call(bytes(message))
    if found is not None:
        read = session_pb2.SessionRequest.FromString(bytes(message))
        number, asked = found
        assert (number, asked.chunk) == (read.sequence, read.predict.chunk)
        assert asked.batch == read.predict.count


@given(
    SEQUENCES,
    st.binary(max_size=300),
    st.floats(0, 1e9),
    st.floats(0, 1e9),
    COUNTS,
    st.lists(st.text(max_size=8), max_size=3),
)
def test_an_answer_is_what_protobuf_reads(
    sequence: int, slab: bytes, queue: float, model: float, batch: int, noticed: list[str]
) -> None:
    rest = session_pb2.PredictResult(
        deviations=[session_pb2.Deviation(kind="bounds", path=path) for path in noticed]
    )
    outbox = StreamOutbox()
    slab_end = RESULT_HEAD + len(slab)
    end = slab_end + rest.ByteSize()
    buffer = outbox.reserve(end)
    buffer[RESULT_HEAD:slab_end] = slab
    buffer[slab_end:end] = rest.SerializeToString()
    write_prediction(buffer, 0, sequence, end, (queue, model, batch), slab_end)
    message = outbox.message(0, end)
    read = session_pb2.SessionResponse.FromString(message)
    answer = read.predict
    assert (read.sequence, answer.action) == (sequence, slab)
    assert (answer.queue_seconds, answer.model_seconds) == (queue, model)
    assert answer.batch_size == batch
    assert [each.path for each in answer.deviations] == noticed
    found = read_prediction(message, 0, len(message), sequence)
    # With deviations, protobuf reads it.
    assert (found is None) == bool(noticed)
    one = predicted(answer) if found is None else found
    assert bytes(one.buffer[one.start : one.start + one.nbytes]) == slab
    assert (one.queue_seconds, one.model_seconds, one.batch_size) == (queue, model, batch)
    assert len(one.deviations) == len(noticed)
    assert read_prediction(message, 0, len(message), (sequence + 1) % 2**64) is None
