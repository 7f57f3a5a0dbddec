"""What one client may send, so that it neither freezes nor fills the process of others."""

from __future__ import annotations

import tracemalloc
from typing import Any

import msgpack
import pytest

import rlmesh
from rlmesh.codec.checks.conformance import MAX_REPORTED, Deviation, Reporter
from rlmesh.codec.infos.packing import pack
from rlmesh.codec.infos.unpacking import MAX_ARGUMENT_VALUES, PackingError, unpack_argument
from rlmesh.errors import InvalidArgumentError
from rlmesh.foreign_text import LONGEST_NAME
from rlmesh.limits import MAX_SEED_BITS
from rlmesh_api.v1 import session_pb2
from support.raw_sessions import raw_session
from support.sample_envs import ScriptedEnv
from support.serving import serving
from support.watching import status_of


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


@pytest.mark.parametrize(
    "packed",
    [
        b"\xdd" + (32 << 20).to_bytes(4, "big") + b"\x90" * (32 << 20),
        b"\xdf" + (8 << 20).to_bytes(4, "big") + b"\x01\x80" * (8 << 20),
        b"\x91" * (2 << 20),
    ],
    ids=["lists", "dicts", "nested"],
)
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
