"""The bytes of compressed messages: what was written once is read for ever."""

from __future__ import annotations

import base64

import pytest

from rlmesh.limits import MAX_MESSAGE_BYTES
from rlmesh.transports.compression.messages import compressed_request, uncompressed
from rlmesh_api.v1 import session_pb2

ANSWER = session_pb2.SessionResponse(
    sequence=7, reset=session_pb2.ResetResult(observation=bytes(range(64)) * 32)
)
REQUEST = session_pb2.SessionRequest(sequence=7, reset=session_pb2.ResetCall(seed=b"\x03"))
# What a library makes of the same bytes may change; that this is read may not.
ANSWERS = {
    "lz4": (
        "CQcAAAAAAAAAcmUIAhCPECJeMgkHAAEA/zcagxAKgBAAAQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRob"
        "HB0eHyAhIiMkJSYnKCkqKywtLi8wMTIzNDU2Nzg5Ojs8PT4/QAD/////////r1A7PD0+Pw=="
    ),
    "zstd": (
        "CQcAAAAAAAAAcmUIAxCPECJeKLUv/WAPB6UCAJQECQcAGoMQCoAQAAECAwQFBgcICQoLDA0ODxAREhMU"
        "FRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+PwIARu9D+BEDQw=="
    ),
}
SMALL_REQUEST = "CQcAAAAAAAAAchYIARAOGAMiDgkHAAAAAAAAABoDCgED"


@pytest.mark.parametrize("name", ANSWERS)
def test_golden_bytes_of_a_compressed_answer_are_read(name: str) -> None:
    response = session_pb2.SessionResponse.FromString(base64.b64decode(ANSWERS[name]))
    message = uncompressed(response.compressed, MAX_MESSAGE_BYTES)
    assert session_pb2.SessionResponse.FromString(message) == ANSWER
    assert response.sequence == ANSWER.sequence


def test_a_small_request_that_asks_for_compression_has_its_golden_bytes() -> None:
    made = compressed_request(REQUEST.SerializeToString(), 7, session_pb2.COMPRESSION_ZSTD)
    assert made == base64.b64decode(SMALL_REQUEST)
