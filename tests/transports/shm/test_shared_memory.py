"""The shared-memory transport: who gets it, what crosses, and what its ends survive."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Generator
from typing import Any, cast

import numpy as np
import pytest

import rlmesh
from rlmesh.errors import EndpointError, InvalidArgumentError
from rlmesh.transports.listener import enter_memory, open_shm_listener
from rlmesh.transports.pipe import BadFrameError, WakeReason
from rlmesh.transports.shm.doorbell import LINE
from rlmesh.transports.shm.pipe import SegmentLayout, ShmPipe
from rlmesh.transports.shm.segment import BadSegmentError, create_segment, map_segment
from support.sample_envs import Gate, ScriptedEnv
from support.serving import served_process, serving

SOON = 20.0
PLAN = SegmentLayout.for_slabs(8, 16)


@contextlib.contextmanager
def pipes() -> Generator[tuple[ShmPipe, ShmPipe]]:
    """The client's and the server's end of one transport."""
    ours, theirs = socket.socketpair()
    descriptor = create_segment(PLAN.size)
    client = ShmPipe(ours, os.dup(descriptor), PLAN, client=True)
    server = ShmPipe(theirs, descriptor, PLAN, client=False)
    try:
        yield client, server
    finally:
        client.release()
        server.release()


def soon() -> float:
    return time.monotonic() + SOON


def message(pipe: ShmPipe) -> bytes:
    """The next message that a pipe receives."""
    received = pipe.receive(soon())
    assert isinstance(received, tuple)
    buffer, start, end = received
    return bytes(buffer[start:end])


def test_messages_cross_in_both_directions() -> None:
    with pipes() as (client, server):
        for number in range(3):
            client.send(b"ask %d" % number)
            assert message(server) == b"ask %d" % number
            server.send(b"answer")
            assert message(client) == b"answer"


def test_a_message_larger_than_the_segment_crosses() -> None:
    large = os.urandom(3 * PLAN.size)
    with pipes() as (client, server):
        client.send(large)
        assert message(server) == large
        server.send(b"small")
        assert message(client) == b"small"


def test_a_sleeping_side_is_woken() -> None:
    with pipes() as (client, server):
        got: list[Any] = []
        waiting = threading.Thread(target=lambda: got.append(message(server)))
        waiting.start()
        lines = client._lines
        deadline = soon()
        while not lines[LINE + 1] and time.monotonic() < deadline:
            os.sched_yield()
        assert lines[LINE + 1], "the server's side sleeps"
        client.send(b"wake up")
        waiting.join(SOON)
        assert got == [b"wake up"]


def test_a_wait_ends_at_its_deadline() -> None:
    with pipes() as (client, _):
        assert client.receive(time.monotonic() + 0.01) is WakeReason.LATE


def test_what_was_posted_before_the_end_is_received_then_the_end() -> None:
    with pipes() as (client, server):
        server.send(b"last")
        server.close()
        assert message(client) == b"last"
        assert client.receive(soon()) is WakeReason.GONE


@pytest.mark.parametrize("length", [PLAN.size, 1 << 40])
def test_a_length_beyond_the_segment_is_a_bad_frame(length: int) -> None:
    with pipes() as (client, server):
        client.send(b"x")
        client._out[:8] = length.to_bytes(8, "little")
        with pytest.raises(BadFrameError):
            server.receive(soon())


def test_a_segment_that_could_be_cut_off_is_refused() -> None:
    descriptor = os.memfd_create("unsealed")
    try:
        os.ftruncate(descriptor, 4096)
        with pytest.raises(BadSegmentError, match="sealed"):
            map_segment(descriptor, 4096)
    finally:
        os.close(descriptor)


def test_a_stranger_gets_no_segment() -> None:
    shown: list[bytes] = []

    def authenticate(secret: bytes) -> None:
        shown.append(secret)

    name, listener = open_shm_listener(PLAN, authenticate)
    try:
        assert enter_memory(name, b"s" * 32) is None
        assert shown == [b"s" * 32]
    finally:
        listener.close()
    assert enter_memory(name, b"s" * 32) is None


@pytest.mark.parametrize(("asked", "given"), [(None, "shm"), ("shm", "shm"), ("grpc", "grpc")])
def test_a_client_gets_the_transport_that_it_asks_for(asked: Any, given: str) -> None:
    with (
        serving(ScriptedEnv()) as server,
        contextlib.closing(rlmesh.RemoteEnv[Any, Any](server.address, transport=asked)) as client,
    ):
        assert client.transport == given
        client.reset(seed=0)


def test_the_environment_variable_asks_for_a_transport(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLMESH_TRANSPORT", "grpc")
    with (
        serving(ScriptedEnv()) as server,
        contextlib.closing(rlmesh.RemoteEnv[Any, Any](server.address)) as client,
    ):
        assert client.transport == "grpc"


def test_an_unknown_transport_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="transport must be one of shm, direct, grpc"):
        rlmesh.RemoteEnv("tcp://127.0.0.1:1", transport=cast("Any", "pigeon"))


def test_an_observation_and_a_frame_of_megabytes_cross() -> None:
    env = ScriptedEnv()
    frame = np.random.default_rng(0).integers(0, 256, (1080, 1920, 3), np.uint8)
    env.script["render"] = lambda: frame
    with (
        serving(env) as server,
        contextlib.closing(rlmesh.RemoteEnv[Any, Any](server.address, transport="shm")) as client,
    ):
        client.reset(seed=0)
        np.testing.assert_array_equal(client.render(), frame)


def test_a_server_that_is_killed_in_a_call_is_noticed_at_once() -> None:
    with served_process("echo:scalar") as server:
        client = rlmesh.RemoteEnv[Any, Any](server.address, transport="shm")
        client.reset(seed=0)
        server.process.kill()
        server.process.wait(SOON)
        begun = time.monotonic()
        with pytest.raises(EndpointError):
            client.step(client.action_space.sample())
        assert time.monotonic() - begun < SOON
        client.close()


def test_a_close_in_the_middle_of_a_call_frees_the_endpoint_when_it_is_over() -> None:
    env, gate = ScriptedEnv(), Gate()
    with serving(env) as server:
        client = rlmesh.RemoteEnv[Any, Any](server.address, transport="shm")
        client.reset(seed=0)
        env.script["step"] = gate.wait
        failed: list[BaseException] = []

        def step() -> None:
            try:
                client.step(client.action_space.sample())
            except rlmesh.RlmeshError as error:
                failed.append(error)

        stepping = threading.Thread(target=step)
        stepping.start()
        assert gate.reached.wait(SOON)
        client.close()
        stepping.join(SOON)
        assert len(failed) == 1
        gate.open()
        del env.script["step"]
        deadline = soon()
        while True:
            try:
                following = rlmesh.RemoteEnv[Any, Any](server.address)
                break
            except rlmesh.errors.EndpointBusyError:
                assert time.monotonic() < deadline
        following.reset(seed=0)
        following.close()
