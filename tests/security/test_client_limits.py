"""What a client or a server may send, so that it neither freezes nor fills the other's process."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import msgpack
import pytest

import rlmesh
from rlmesh.client.connection import MAX_SMALL_ANSWER_BYTES, read_answer
from rlmesh.client.notices import MAX_NOTICES, Notices
from rlmesh.codec.checks.conformance import MAX_REPORTED, Deviation, Reporter
from rlmesh.codec.infos.info_keys import INFO_DEGRADED
from rlmesh.codec.infos.packing import pack
from rlmesh.codec.infos.unpacking import (
    MAX_ANSWER_VALUES,
    MAX_ARGUMENT_VALUES,
    PackingError,
    TooManyValuesError,
    unpack,
    unpack_argument,
    unpack_info,
)
from rlmesh.errors import InvalidArgumentError, ProtocolError
from rlmesh.foreign_text import LONGEST_NAME
from rlmesh.limits import MAX_SEED_BITS
from rlmesh.transports.failures import error_from_failure
from rlmesh_api.v1 import session_pb2
from support.raw_sessions import raw_session
from support.sample_envs import ScriptedEnv
from support.serving import serving
from support.watching import status_of

TOO_MANY_IDS = ["lists", "dicts", "nested"]
TOO_MANY = [
    b"\xdd" + (32 << 20).to_bytes(4, "big") + b"\x90" * (32 << 20),
    b"\xdf" + (8 << 20).to_bytes(4, "big") + b"\x01\x80" * (8 << 20),
    b"\x91" * (8 << 20),
]


@pytest.mark.usefixtures("each_transport")
def test_a_seed_beyond_the_limit_reaches_no_environment() -> None:
    env = ScriptedEnv()
    with (
        serving(env) as server,
        rlmesh.RemoteEnv[Any, Any](server.address) as client,
    ):
        client.reset(seed=2**MAX_SEED_BITS - 1)
        for seed in (2**MAX_SEED_BITS, 1 << 1_600_000, -(1 << 1_600_000)):
            with pytest.raises(InvalidArgumentError, match=r"got an int of \d+ bits"):
                client.reset(seed=seed)
        client.reset(seed=1)
    assert env.names().count("reset") == 2


def test_a_server_refuses_such_a_seed_of_a_client_that_does_not() -> None:
    env = ScriptedEnv()
    with serving(env) as server, raw_session(server.address) as session:
        call = session_pb2.ResetCall(seed=pack(1 << 1_600_000))
        answer = session.call(2, reset=call)
    assert answer.failure.code == session_pb2.ERROR_CODE_INVALID_ARGUMENT
    assert "1600001 bits" in answer.failure.message
    assert env.names().count("reset") == 0


@pytest.mark.parametrize("packed", TOO_MANY, ids=TOO_MANY_IDS)
def test_an_argument_of_too_many_values_is_refused_unmade(packed: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(PackingError, match="more than 1048576 values"):
            unpack_argument(packed)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * len(packed)


def test_an_argument_of_many_values_is_read() -> None:
    values = [0] * (MAX_ARGUMENT_VALUES - 2)
    assert unpack_argument(msgpack.packb([values, "x" * 9999])) == [values, "x" * 9999]


def test_a_long_name_of_a_client_is_cut() -> None:
    long = "x" * 100_000
    peer = session_pb2.Peer(name=long, host=long, version=long, pid=1)
    with serving(ScriptedEnv()) as server, raw_session(server.address, peer=peer):
        status = status_of(server.address)
    assert status.ByteSize() < 20 * LONGEST_NAME
    assert status.holder.peer.name.startswith("x" * LONGEST_NAME)


def test_a_session_reports_so_many_deviations() -> None:
    reporter = Reporter()
    reported = 0
    for turn in range(3):
        some = [
            Deviation("bounds", f"$[{turn}][{index}]", None, "")
            for index in range(MAX_REPORTED - 9)
        ]
        reported += len(reporter.filter(some))
    assert reported == MAX_REPORTED


# `unpack_info` calls `unpack`, which is therefore tried by itself with one of them alone.
@pytest.mark.parametrize(
    ("packed", "read"),
    [*((packed, unpack_info) for packed in TOO_MANY), (TOO_MANY[0], unpack)],
    ids=[*TOO_MANY_IDS, "any value"],
)
def test_an_info_of_too_many_values_is_refused_unmade(
    packed: bytes, read: Callable[[bytes], Any]
) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(TooManyValuesError, match=f"more than {MAX_ANSWER_VALUES} values"):
            read(packed)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * len(packed)


def test_an_info_of_many_values_is_read() -> None:
    values = [0] * (MAX_ANSWER_VALUES - 4)
    assert unpack_info(msgpack.packb({"x": values, "y": "x" * 9999}))["x"] == values


@pytest.mark.usefixtures("each_transport")
def test_a_client_refuses_an_info_of_too_many_values_and_says_why() -> None:
    env = ScriptedEnv()
    env.script["render"] = lambda: [0] * (MAX_ANSWER_VALUES + 1)
    with (
        serving(env) as server,
        rlmesh.RemoteEnv[Any, Any](server.address) as client,
    ):
        client.reset()
        with pytest.raises(ProtocolError, match="is refused: it would take too much memory"):
            client.render()
        client.reset()


@pytest.mark.parametrize("count", [1, 3])
def test_a_client_refuses_more_steps_than_it_has_asked_for(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(ScriptedEnv()) as server, rlmesh.RemoteEnv[Any, Any](server.address) as client:
        client.reset()
        call_client: Any = client._env_client._call_client
        step_many = call_client.step_many

        def repeat(call: Any) -> Any:
            found, failure = step_many(call)
            return found * count, failure

        monkeypatch.setattr(call_client, "step_many", repeat)
        actions = [client.action_space.sample()] * 2
        if count == 1:
            assert len(client.step_many(actions).rewards) == 2
        else:
            with pytest.raises(ProtocolError, match="it holds 6 steps, 2 were requested"):
                client.step_many(actions)


def test_a_client_refuses_an_opening_of_too_many_bytes() -> None:
    opened = session_pb2.OpenResult(exposed=["x"] * MAX_SMALL_ANSWER_BYTES)
    answer = session_pb2.SessionResponse(sequence=1, open=opened).SerializeToString()
    with pytest.raises(ProtocolError, match="at most 1048576 are allowed"):
        read_answer((answer, 0, len(answer)), "open", 1, "a")


def test_a_client_reads_no_more_holders_than_a_server_names() -> None:
    failure = session_pb2.Failure(code=session_pb2.ERROR_CODE_BUSY)
    failure.holders.extend([session_pb2.Holder()] * 10_000)
    error: Any = error_from_failure(failure, "a")
    assert len(error.holders) == 16


def test_a_client_keeps_so_many_notices() -> None:
    notices = Notices()
    for number in range(MAX_NOTICES + 5):
        notices.take({INFO_DEGRADED: [{"path": f"$[{number}]", "type": "x", "reason": "y"}]})
    assert len(notices.kept) == MAX_NOTICES
