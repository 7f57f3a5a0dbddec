"""What the page for implementers says, on raw gRPC."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import grpc
import gymnasium
import msgpack
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from rlmesh.address import parse_address
from rlmesh.codec.infos.packing import pack, unpack
from rlmesh.limits import MAX_MESSAGE_BYTES
from rlmesh.transports.grpc.options import CLIENT_PONG_SECONDS, PING_SECONDS, server_options
from rlmesh_api.v1 import session_pb2
from support.pages import code, tables
from support.raw_sessions import RawSession
from support.repository import ROOT
from support.serving import serving

PAGE = (ROOT / "docs" / "implementing.md").read_text()
TABLES = tables("docs/implementing.md")
RESET = session_pb2.ResetCall()
GET = session_pb2.ATTRIBUTE_VERB_GET
CALL = session_pb2.ATTRIBUTE_VERB_CALL


class Telling(gymnasium.Env[Any, Any]):
    """Its info has the options; 1 raises, 2 observes what the space excludes, 3 gives no reward."""

    observation_space = gymnasium.spaces.Discrete(2)
    action_space = gymnasium.spaces.Discrete(4)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        return 0, {"options": options}

    def step(self, action: int) -> tuple[int, Any, bool, bool, dict[str, Any]]:
        if action == 1:
            raise ValueError
        if action == 3:
            return 0, "no reward", False, False, {}
        return int(action), 0.0, False, False, {}

    def add(self, first: int, second: int = 0) -> int:
        return first + second


@contextmanager
def opened(env: Any, **options: Any) -> Generator[RawSession]:
    with serving(env, **options) as server:
        with grpc.insecure_channel(server.address.removeprefix("tcp://")) as channel:
            yield RawSession(channel)


def action(number: int) -> session_pb2.StepCall:
    return session_pb2.StepCall(action=number.to_bytes(8, "little"))


def status_of_end(session: RawSession) -> grpc.StatusCode:
    """The status of a stream that has no further answer."""
    with pytest.raises(StopIteration):
        session.receive()
    status: grpc.StatusCode = session._answers.code()
    return status


@pytest.mark.parametrize("row", TABLES["From an address to a channel: Address"])
def test_an_address_is_a_target(row: tuple[str, str]) -> None:
    [address], [target] = map(code, row)
    assert parse_address(address).dial_target == target


def test_the_limits_are_those_of_the_code() -> None:
    assert MAX_MESSAGE_BYTES == 1 << 30
    assert f"after {PING_SECONDS:g} seconds without data" in PAGE
    assert f"does not answer within {CLIENT_PONG_SECONDS:g} seconds" in PAGE
    least = dict(server_options())["grpc.http2.min_ping_interval_without_data_ms"] / 1000
    assert f"at least {least:g} seconds" in PAGE


def test_every_code_of_a_failure_is_listed() -> None:
    listed = {
        name for cell, *_ in TABLES["After a failure: Code of the failure"] for name in code(cell)
    }
    sent = {
        name.removeprefix("ERROR_CODE_") for name in session_pb2.ErrorCode.DESCRIPTOR.values_by_name
    }
    assert listed - {"open", "resume"} == sent - {"UNSPECIFIED"}


def test_generation_0_is_refused_and_the_stream_ends() -> None:
    with serving(Telling()) as server:
        with grpc.insecure_channel(server.address.removeprefix("tcp://")) as channel:
            method = channel.stream_stream(
                "/rlmesh_api.v1.EnvService/Session",
                request_serializer=session_pb2.SessionRequest.SerializeToString,
                response_deserializer=session_pb2.SessionResponse.FromString,
            )
            request = session_pb2.SessionRequest(sequence=1, open=session_pb2.OpenCall())
            answers = method(iter([request]))
            [answer] = answers
            assert answer.failure.code == session_pb2.ERROR_CODE_INCOMPATIBLE
            assert answers.code() is grpc.StatusCode.OK


def test_calls_may_be_pipelined() -> None:
    with opened(Telling()) as session:
        for sequence in range(2, 8):
            session.send(sequence, reset=RESET)
        assert [session.receive().sequence for _ in range(6)] == list(range(2, 8))


def test_after_a_half_close_what_was_received_is_answered() -> None:
    with opened(Telling()) as session:
        session.send(2, reset=RESET)
        session._requests.put(None)
        assert session.receive().HasField("reset")
        assert status_of_end(session) is grpc.StatusCode.OK


def test_after_close_the_stream_ends() -> None:
    with opened(Telling()) as session:
        assert session.call(2, close=session_pb2.CloseCall()).HasField("close")
        assert status_of_end(session) is grpc.StatusCode.OK


@pytest.mark.parametrize(
    ("call", "code", "next_call"),
    [
        ({"step": action(7)}, "INVALID_ACTION", {"step": action(0)}),
        (
            {"attribute": session_pb2.AttributeCall(verb=GET, name="hidden")},
            "INVALID_ARGUMENT",
            {"step": action(0)},
        ),
        ({"step": action(1)}, "ENVIRONMENT", {"reset": RESET}),
        ({"step": action(2)}, "INVALID_OBSERVATION", {"reset": RESET}),
        ({"step": action(3)}, "INVALID_RESULT", {"reset": RESET}),
    ],
)
def test_after_these_failures_the_stream_is_open(
    call: dict[str, Any], code: str, next_call: dict[str, Any]
) -> None:
    with opened(Telling()) as session:
        session.call(2, reset=RESET)
        failure = session.call(3, **call).failure
        assert session_pb2.ErrorCode.Name(failure.code) == f"ERROR_CODE_{code}"
        assert not session.call(4, **next_call).HasField("failure")


def test_after_a_protocol_error_the_stream_ends() -> None:
    with opened(Telling()) as session:
        session.call(5, reset=RESET)
        assert session.call(3, reset=RESET).failure.code == session_pb2.ERROR_CODE_PROTOCOL
        assert status_of_end(session) is grpc.StatusCode.OK


def test_a_busy_server_answers_open_and_ends_the_stream() -> None:
    with serving(Telling()) as server:
        with grpc.insecure_channel(server.address.removeprefix("tcp://")) as channel:
            first = RawSession(channel)
            second = RawSession(channel)
            assert second.answer.failure.code == session_pb2.ERROR_CODE_BUSY
            assert status_of_end(second) is grpc.StatusCode.OK
            first.call(2, close=session_pb2.CloseCall())


def test_a_session_that_is_unknown_is_gone_and_the_stream_ends() -> None:
    with serving(Telling()) as server:
        with grpc.insecure_channel(server.address.removeprefix("tcp://")) as channel:
            session = RawSession(channel, resume=bytes(32))
            assert session.answer.failure.code == session_pb2.ERROR_CODE_SESSION_GONE
            assert status_of_end(session) is grpc.StatusCode.OK


def test_the_argument_of_a_call_is_a_list_of_two() -> None:
    with opened(Telling(), expose=("add",)) as session:
        argument = bytes.fromhex("92 91 01 80")
        assert msgpack.unpackb(argument) == [[1], {}]
        call = session_pb2.AttributeCall(verb=CALL, name="add", argument=argument)
        assert unpack(session.call(2, attribute=call).attribute.value) == 1
        call.argument = msgpack.packb([[1], {"second": 2}])
        assert unpack(session.call(3, attribute=call).attribute.value) == 3


def test_a_float32_is_read_and_of_a_double_key_the_last_value() -> None:
    with opened(Telling()) as session:
        options = b"\x82\xa1a" + msgpack.packb(0.1) + b"\xa1a" + b"\xca\x3f\xc0\x00\x00"
        answer = session.call(2, reset=session_pb2.ResetCall(options=options))
        assert unpack(answer.reset.info) == {"options": {"a": 1.5}}


def header(packed: bytes) -> list[Any]:
    payload = msgpack.unpackb(packed).data
    length = int.from_bytes(payload[:2], "little")
    read: list[Any] = msgpack.unpackb(payload[2 : 2 + length])
    return read


def test_the_header_of_an_array_is_flat() -> None:
    assert header(pack(np.zeros((2, 3), np.float32))) == ["<f4", 2, 3]
    assert header(pack(np.float32(1))) == ["<f4"]
    assert header(pack(np.datetime64(1, "ns"))) == ["<M8[ns]"]
    structured = np.zeros((), [("a", "<i4", (3,))])
    assert header(pack(structured))[0]["fields"] == [["a", "<i4", [3], 0]]


def two(mode: AutoresetMode) -> SyncVectorEnv[Any, Any]:
    return SyncVectorEnv([lambda: gymnasium.make("CartPole-v1")] * 2, autoreset_mode=mode)


def test_seeds_and_a_reset_mask_of_sub_environments() -> None:
    with opened(two(AutoresetMode.DISABLED)) as session:
        seeds = bytes.fromhex("92 03 c0")
        first = session.call(2, reset=session_pb2.ResetCall(seed=seeds)).reset.observation
        local, _ = gymnasium.make("CartPole-v1").reset(seed=3)
        assert np.frombuffer(first, "<f4")[:4].tolist() == local.tolist()
        mask = pack({"reset_mask": np.array([True, False])})
        [extension] = msgpack.unpackb(mask).values()
        assert extension.code == 3
        again = session.call(3, reset=session_pb2.ResetCall(options=mask)).reset.observation
        assert (first[:16] == again[:16], first[16:] == again[16:]) == (False, True)


def test_final_obs_is_an_object_array_with_its_mask() -> None:
    with opened(two(AutoresetMode.SAME_STEP)) as session:
        session.call(2, reset=session_pb2.ResetCall(seed=b"\x01"))
        right = session_pb2.StepCall(action=(1).to_bytes(8, "little") * 2)
        steps = (session.call(sequence, step=right).step for sequence in range(3, 60))
        step = next(step for step in steps if any(step.terminations))
        info = msgpack.unpackb(step.info)
        assert set(info) == {"final_obs", "_final_obs", "final_info", "_final_info"}
        marker, *elements = info["final_obs"]
        assert (marker.code, msgpack.unpackb(marker.data)) == (5, [2])
        assert [element is not None for element in elements] == list(step.terminations)
        assert unpack(step.info)["_final_obs"].tolist() == list(step.terminations)
