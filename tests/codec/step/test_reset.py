"""The result of a reset, written and read by hand, is the message that protobuf has."""

from __future__ import annotations

import pytest

from rlmesh.codec.step.reset import around_reset, read_reset
from rlmesh_api.v1 import session_pb2

CASES = [(b"", b""), (b"slab", b""), (b"", b"info"), (b"s" * 127, b"i"), (b"s" * 300_000, b"info")]


@pytest.mark.parametrize(("slab", "info"), CASES)
def test_the_bytes_are_those_of_protobuf(slab: bytes, info: bytes) -> None:
    before, after = around_reset(7, len(slab), info)
    message = before + slab + after
    assert (
        message
        == session_pb2.SessionResponse(
            sequence=7, reset=session_pb2.ResetResult(observation=slab, info=info)
        ).SerializeToString()
    )
    found = read_reset(b"?" + message, 1, 1 + len(message), 7)
    if not slab:
        assert found is None
        return
    assert found is not None
    stop = found.start + found.nbytes
    assert ((b"?" + message)[found.start : stop], found.info) == (slab, info)
    assert read_reset(message, 0, len(message), 8) is None


def test_a_message_that_is_cut_or_of_another_form_is_left_to_protobuf() -> None:
    message = session_pb2.SessionResponse(
        sequence=7, reset=session_pb2.ResetResult(observation=b"s" * 200, info=b"i" * 200)
    ).SerializeToString()
    for end in range(len(message)):
        assert read_reset(message, 0, end, 7) is None
    twice = session_pb2.ResetResult(observation=b"s").SerializeToString() * 2
    other = b"\x1a" + bytes([len(twice)]) + twice
    assert read_reset(message[:9] + other, 0, 9 + len(other), 7) is None
    failure = session_pb2.SessionResponse(sequence=7, failure=session_pb2.Failure(message="m" * 50))
    assert read_reset(failure.SerializeToString(), 0, failure.ByteSize(), 7) is None
    assert read_reset(b"\xff" * 40, 0, 40, 7) is None
