"""Health is open to strangers: whatever they do with it, it answers others, and the server ends."""

from __future__ import annotations

import contextlib
import gzip
import logging
import struct
import sys
import threading
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

import rlmesh
from rlmesh.server.rpc.health import MAX_ANSWERS, MAX_WATCHES
from rlmesh.transports.grpc.options import MAX_STREAMS
from support.raw_http2 import raw_http2
from support.sample_envs import ScriptedEnv
from support.serving import served_process, serving
from support.watching import (
    SERVING,
    channel_to,
    check_health,
    health_stub,
)

SOON = 30.0
SECRET = "correct-horse-battery-staple"
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
CHECK, WATCH = "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"


def ends(server: rlmesh.EnvServer) -> bool:
    """Whether a shutdown returns."""
    ending = threading.Thread(target=server.shutdown, daemon=True)
    ending.start()
    ending.join(SOON)
    return not ending.is_alive()


def peak_mebibytes(pid: int) -> int:
    """The most memory that a process has had at once."""
    [line] = [
        line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "VmHWM" in line
    ]
    return int(line.split()[1]) >> 10


def test_watches_that_strangers_open_and_cancel_stop_nothing() -> None:
    with serving(ScriptedEnv(), token=SECRET) as server:

        def watch_and_leave() -> None:
            with channel_to(server.address) as channel:
                stub = health_stub(channel)
                for _ in range(50):
                    watch: Any = stub.Watch(health_pb2.HealthCheckRequest(), timeout=SOON)
                    assert next(watch).status == SERVING
                    watch.cancel()

        strangers = [threading.Thread(target=watch_and_leave, daemon=True) for _ in range(4)]
        for stranger in strangers:
            stranger.start()
        for stranger in strangers:
            stranger.join(SOON)
        assert check_health(server.address) == SERVING
        assert ends(server)


def test_a_watch_that_nobody_reads_stops_neither_health_nor_the_end() -> None:
    with serving(ScriptedEnv(), token=SECRET) as server:
        with raw_http2(server.address, window=0) as stranger:
            watch = stranger.call(WATCH)
            stranger.wait_for_response(watch)
            assert check_health(server.address) == SERVING
            assert ends(server)
            assert stranger.data(watch) == b""


def test_watches_beyond_the_limit_are_refused_and_checks_are_answered() -> None:
    with serving(ScriptedEnv(), token=SECRET) as server, channel_to(server.address) as channel:
        stub = health_stub(channel)
        request = health_pb2.HealthCheckRequest()
        watches = [stub.Watch(request, timeout=60) for _ in range(MAX_WATCHES)]
        assert [next(watch).status for watch in watches] == [SERVING] * MAX_WATCHES
        with pytest.raises(grpc.RpcError) as caught:
            next(stub.Watch(request, timeout=SOON))
        assert isinstance(caught.value, grpc.Call)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "use Check" in str(caught.value.details())
        assert check_health(server.address) == SERVING
        watches[0].cancel()
        # The server notices a moment later.
        for _ in range(1000):
            with contextlib.suppress(grpc.RpcError):
                assert next(stub.Watch(request, timeout=SOON)).status == SERVING
                break
        else:
            pytest.fail("the place of a watch that has left is not free")


@pytest.mark.parametrize("method", [CHECK, WATCH])
def test_calls_without_a_message_end_for_newer_ones(method: str) -> None:
    with serving(ScriptedEnv(), token=SECRET) as server, raw_http2(server.address) as stranger:
        silent = [stranger.begin(method) for _ in range(MAX_ANSWERS + 1)]
        stranger.headers(silent[0])
        assert check_health(server.address) == SERVING
        assert ends(server)


def test_checks_that_nobody_reads_end_for_newer_ones() -> None:
    with serving(ScriptedEnv(), token=SECRET) as server:
        with raw_http2(server.address, window=0) as stranger:
            unread = [stranger.call(CHECK) for _ in range(MAX_ANSWERS + 1)]
            stranger.headers(unread[0])
            assert check_health(server.address) == SERVING
            assert ends(server)


@pytest.mark.parametrize("method", [CHECK, WATCH])
def test_what_is_no_message_is_refused_without_a_word_in_the_log(
    method: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with serving(ScriptedEnv(), token=SECRET) as server, raw_http2(server.address) as stranger:
        code = stranger.headers(stranger.call(method, b"\xff\xff"))["grpc-status"]
        assert int(code) == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert caplog.messages == []


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("method", [CHECK, WATCH])
def test_a_strangers_messages_take_little_memory(method: str) -> None:
    with served_process("scripted") as server, raw_http2(server.address) as stranger:
        assert check_health(server.address) == SERVING
        before = peak_mebibytes(server.pid)
        large = stranger.begin(method)
        assert stranger.pour(large, claimed=1 << 30, most=64 << 20) < 16 << 20
        assert stranger.headers(large)["grpc-status"] == str(EXHAUSTED)
        # 300 MiB of the same byte.
        packed = gzip.compress(bytes(300 << 20), 1)
        bomb = stranger.begin(method, [("grpc-encoding", "gzip")])
        stranger.send(bomb, struct.pack(">BI", 1, len(packed)) + packed)
        assert stranger.headers(bomb)["grpc-status"] == str(EXHAUSTED)
        assert check_health(server.address) == SERVING
        assert peak_mebibytes(server.pid) - before < 64


def test_a_connection_has_a_limit_of_calls() -> None:
    with serving(ScriptedEnv()) as server, raw_http2(server.address) as stranger:
        stranger.headers(stranger.call(CHECK))
        assert stranger.calls_at_once == MAX_STREAMS
