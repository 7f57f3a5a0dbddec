"""Hostile clients end their own session and nothing else; hostile servers are typed errors."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Generator
from typing import Any

import numpy as np
import pytest

import rlmesh
from rlmesh.errors import EndpointBusyError, EndpointError, ProtocolError
from rlmesh.lanes import grpc_lane
from rlmesh.lanes.bell import LINE
from rlmesh.lanes.memory_port import MemoryPort
from rlmesh.lanes.port import RESERVED, Port
from rlmesh.lanes.segment import create_segment
from rlmesh.lanes.socket_port import SocketPort
from rlmesh.lanes.step_form import compile_step_form
from rlmesh.lanes.wire import PREFIX, STEP, write_action, write_sequence
from rlmesh_api.v1 import session_pb2
from support.comparing import assert_same
from support.ports import PLAN, SOON, message
from support.raw_sessions import raw_session, strange_server
from support.sample_envs import ScriptedEnv
from support.serving import serving

ANY_PORT = "tcp://127.0.0.1:0"
ACTION = np.array([0.5, -0.25], np.float32)
SLAB = ACTION.tobytes()
NOISE = np.random.default_rng(7)


@contextlib.contextmanager
def served() -> Generator[tuple[ScriptedEnv, rlmesh.EnvServer]]:
    env = ScriptedEnv()
    with serving(env, direct=ANY_PORT) as server:
        yield env, server


def drive(address: str, lane: str) -> None:
    """A client like any other, once the environment is free."""
    pause = threading.Event()
    deadline = time.monotonic() + SOON
    while True:
        with contextlib.suppress(EndpointBusyError):
            client = rlmesh.RemoteEnv[Any, Any](address, lane=lane, reconnect=False)
            break
        assert time.monotonic() < deadline, "the endpoint was never free again"
        pause.wait(0.01)
    with contextlib.closing(client):
        assert client.lane == lane
        client.reset(seed=0)
        assert_same(client.step(ACTION)[0], ACTION)


Deed = Callable[[Any], None]


def says(text: bytes) -> Deed:
    """Sends a message."""
    return lambda port: port.send(text)


def request(sequence: int = 2, /, **call: Any) -> bytes:
    return session_pb2.SessionRequest(sequence=sequence, **call).SerializeToString()


# Messages that make no sense, in frames that are as they should be.
SENSELESS: dict[str, bytes] = {
    "nothing": b"",
    "no call": request(),
    "open again": request(open=session_pb2.OpenCall(protocol_generation=1)),
    "noise": NOISE.bytes(200),
    "noise after a sequence": b"\x09" + bytes(8) + b"\xff" + NOISE.bytes(200),
    "a request that is cut": write_action(2, SLAB)[:-1],
    "a request with more behind it": write_action(2, SLAB) + b"\xff",
    "a short action": write_action(2, SLAB[:-1]),
    "a long action": write_action(2, SLAB + b"\0"),
    "no action": write_action(2, b""),
    "a huge action": write_action(2, bytes(5 << 20)),
    "a damaged seed": request(reset=session_pb2.ResetCall(seed=b"\xc1")),
}


@pytest.mark.parametrize("lane", ["shm", "direct"])
@pytest.mark.parametrize("text", SENSELESS.values(), ids=SENSELESS.keys())
def test_a_message_that_makes_no_sense_ends_its_session_and_not_the_server(
    lane: str, text: bytes
) -> None:
    with served() as (env, server):
        with raw_session(server.address) as session:
            port = session.port(lane)
            port.send(text)
            # What is large leaves while the port waits.
            port.receive(time.monotonic() + 0.05)
            session.wait_until_ended()
            assert env.calls == []
            drive(server.address, lane)
            port.release()


def header(start: int, end: int, elsewhere: int) -> Deed:
    def act(port: MemoryPort) -> None:
        struct.pack_into("<QQQ", port._out, 0, start, end, elsewhere)
        port._bell.post()

    return act


def scribble(port: MemoryPort) -> None:
    """Noise all over the control lines and the area, as long as the test lasts."""
    port._bell._lines[: 2 * LINE] = NOISE.bytes(2 * LINE)
    port._out[:500] = NOISE.bytes(500)
    for count in range(256):
        port._bell._lines[0] = count
    port._sock.sendall(NOISE.bytes(500))


def segments(port: MemoryPort) -> None:
    many = [create_segment(1) for _ in range(20)]
    socket.send_fds(port._sock, [b"\0"], many)
    for segment in many:
        os.close(segment)


def raw(text: bytes) -> Deed:
    def act(port: SocketPort) -> None:
        connection(port).sendall(text)

    return act


def connection(port: SocketPort) -> socket.socket:
    """What is under a port that is not encrypted."""
    assert isinstance(port._sock, socket.socket)
    return port._sock


def reset_connection(port: SocketPort) -> None:
    sock = connection(port)
    sock.sendall(struct.pack("<Q", 100) + b"half")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


IMPOSSIBLE: dict[str, tuple[str, Deed]] = {
    "a place beyond the area": ("shm", header(RESERVED, 2**40, 0)),
    "a place before it": ("shm", header(0, 50, 0)),
    "an end before the beginning": ("shm", header(200, 100, 0)),
    "a segment that never comes": ("shm", header(RESERVED, 100, 1 << 20)),
    "a segment without end": ("shm", header(RESERVED, 100, 2**64 - 1)),
    "segments without a message": ("shm", segments),
    "a length over the limit": ("direct", raw(struct.pack("<Q", 2**40))),
    "noise": ("direct", raw(b"\xff" * 8 + NOISE.bytes(500))),
}


@pytest.mark.parametrize(("lane", "deed"), IMPOSSIBLE.values(), ids=IMPOSSIBLE.keys())
def test_a_frame_that_cannot_be_ends_its_session_and_not_the_server(lane: str, deed: Deed) -> None:
    with served() as (env, server):
        with raw_session(server.address) as session:
            port = session.port(lane)
            deed(port)
            session.wait_until_ended()
            assert env.calls == []
            drive(server.address, lane)
            port.release()


RUDE: dict[str, tuple[str, Deed]] = {
    "scribbles": ("shm", scribble),
    "sends half a frame": ("direct", raw(struct.pack("<Q", 100) + b"half")),
    "announces much": ("direct", raw(struct.pack("<Q", 1 << 30) + b"half")),
    "resets the connection": ("direct", reset_connection),
    "does not wait for answers": (
        "direct",
        raw(1000 * (struct.pack("<Q", len(SENSELESS["no call"])) + SENSELESS["no call"])),
    ),
}


@pytest.mark.parametrize(("lane", "deed"), RUDE.values(), ids=RUDE.keys())
def test_after_a_rude_client_has_left_comes_the_next(lane: str, deed: Deed) -> None:
    with served() as (_, server):
        with raw_session(server.address) as session:
            port = session.port(lane)
            deed(port)
            session.close()
            drive(server.address, lane)
            port.release()


def server_end(server: rlmesh.EnvServer) -> Any:
    """The server's end of the lane of the session that it has."""
    (session,) = server._front._service._desk.sessions()
    assert session.source is not None
    return session.source._port


@pytest.mark.parametrize("lane", ["shm", "direct"])
def test_a_client_that_reads_no_answers_does_not_keep_a_server_from_ending(lane: str) -> None:
    env = ScriptedEnv()
    frame = np.random.default_rng(0).integers(0, 256, 30 << 20, np.uint8)
    env.script["render"] = lambda: frame
    server = rlmesh.EnvServer(env, direct=ANY_PORT)
    server.start()
    with raw_session(server.address) as session:
        port = session.port(lane)
        port.send(request(stats=session_pb2.StatsCall()))
        message(port)
        if isinstance(port, MemoryPort):
            # Every answer rings, and nobody hears it.
            port._bell._lines[1] = 1
            with contextlib.suppress(BlockingIOError):
                while True:
                    server_end(server)._sock.send(b"\0", socket.MSG_DONTWAIT)
        port.send(request(3, render=session_pb2.RenderCall()))
        pause = threading.Event()
        while "render" not in env.names():
            pause.wait(0.01)
        ending = threading.Thread(target=server.shutdown)
        ending.start()
        ending.join(SOON)
        assert not ending.is_alive()
        assert env.names()[-1] == "close"
        port.release()


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has clients not wait for a stream to end that does not."""
    monkeypatch.setattr(grpc_lane, "_END_SECONDS", 0.05)


def answer_to_step(slab: bytes = SLAB, sequence: int = 3, lanes: int | None = None) -> bytes:
    form = compile_step_form(lanes)
    head = PREFIX + form.head
    buffer = bytearray(head) + slab
    numbers: Any = (1.0, False, False)
    if lanes is not None:
        numbers = np.ones(lanes), np.zeros(lanes, np.bool_), np.zeros(lanes, np.bool_)
    form.write(buffer, PREFIX, STEP, len(buffer), numbers, b"")
    write_sequence(buffer, 0, sequence)
    return bytes(buffer)


def answer_to_reset(sequence: int = 2) -> bytes:
    result = session_pb2.ResetResult(observation=SLAB)
    return session_pb2.SessionResponse(sequence=sequence, reset=result).SerializeToString()


def behaving(*deeds: Deed) -> Callable[[Port], None]:
    """Does one thing for every message that arrives."""

    def behave(port: Port) -> None:
        for deed in deeds:
            if not isinstance(port.receive(), tuple):
                return
            deed(port)
        while isinstance(port.receive(), tuple):
            pass

    return behave


def info(text: bytes) -> bytes:
    result = session_pb2.StepResult(
        observation=SLAB, rewards=[1], terminations=[False], truncations=[False], info=text
    )
    return session_pb2.SessionResponse(sequence=3, step=result).SerializeToString()


WRONG_ANSWERS: dict[str, bytes] = {
    "nothing": b"",
    "noise": NOISE.bytes(300),
    "noise after the sequence": b"\x09\x03" + bytes(7) + b"\xff" + NOISE.bytes(300),
    "cut": answer_to_step()[:-1],
    "more behind it": answer_to_step() + b"\xff",
    "another call's": answer_to_step(sequence=2),
    "of lanes": answer_to_step(lanes=2),
    "another answer": answer_to_reset(3),
    "a short slab": answer_to_step(SLAB[:-1]),
    "a long slab": answer_to_step(SLAB + b"\0"),
    "no slab": answer_to_step(b""),
    "a damaged info": info(b"\xc1"),
    "an info that is no dict": info(b"\x01"),
}


@pytest.mark.parametrize("lane", ["shm", "direct"])
@pytest.mark.parametrize("text", WRONG_ANSWERS.values(), ids=WRONG_ANSWERS.keys())
def test_an_answer_that_makes_no_sense_is_a_protocol_error(lane: str, text: bytes) -> None:
    behave = behaving(says(answer_to_reset()), says(text))
    with (
        strange_server(ScriptedEnv(), lane, behave, PLAN) as address,
        contextlib.closing(
            rlmesh.RemoteEnv[Any, Any](address, lane=lane, reconnect=False)
        ) as client,
    ):
        assert client.lane == lane
        client.reset()
        with pytest.raises(ProtocolError, match=address):
            client.step(ACTION)


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize(("lane", "deed"), IMPOSSIBLE.values(), ids=IMPOSSIBLE.keys())
def test_a_frame_that_cannot_be_is_a_protocol_error_and_no_later_call_hangs(
    lane: str, deed: Deed
) -> None:
    behave = behaving(says(answer_to_reset()), deed)
    with (
        strange_server(ScriptedEnv(), lane, behave, PLAN) as address,
        contextlib.closing(
            rlmesh.RemoteEnv[Any, Any](address, lane=lane, reconnect=False)
        ) as client,
    ):
        assert client.lane == lane
        client.reset()
        with pytest.raises(ProtocolError, match=f"{address} sent what cannot be"):
            client.step(ACTION)
        with pytest.raises(EndpointError):
            client.reset()


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("lane", ["shm", "direct"])
def test_a_server_that_leaves_the_lane_is_a_lost_connection(lane: str) -> None:
    behave = behaving(says(answer_to_reset()), lambda port: port.close())
    with (
        strange_server(ScriptedEnv(), lane, behave, PLAN) as address,
        contextlib.closing(
            rlmesh.RemoteEnv[Any, Any](address, lane=lane, reconnect=False)
        ) as client,
    ):
        client.reset()
        with pytest.raises(rlmesh.errors.ConnectionLostError, match=f"left the lane {lane}"):
            client.step(ACTION)


@pytest.mark.parametrize("lane", ["shm", "direct"])
def test_an_answer_of_protobufs_own_form_is_as_good(lane: str) -> None:
    result = session_pb2.StepResult(
        observation=SLAB, rewards=[2.5], terminations=[True], truncations=[False]
    )
    text = session_pb2.SessionResponse(sequence=3, step=result).SerializeToString()
    behave = behaving(says(answer_to_reset()), says(text))
    with (
        strange_server(ScriptedEnv(), lane, behave, PLAN) as address,
        contextlib.closing(
            rlmesh.RemoteEnv[Any, Any](address, lane=lane, reconnect=False)
        ) as client,
    ):
        client.reset()
        assert_same(client.step(ACTION), (ACTION, 2.5, True, False, {}))


@pytest.mark.parametrize("lane", ["shm", "direct"])
def test_a_step_of_protobufs_own_form_is_as_good(lane: str) -> None:
    call = session_pb2.StepCall(action=SLAB)
    with served() as (env, server):
        with raw_session(server.address) as session:
            port = session.port(lane)
            port.send(request(reset=session_pb2.ResetCall()))
            message(port)
            port.send(request(3, step=call))
            answer = session_pb2.SessionResponse.FromString(message(port))
            port.release()
    assert answer.WhichOneof("answer") == "step"
    assert (answer.step.observation, list(answer.step.rewards)) == (SLAB, [1.0])
    assert_same(env.actions, [ACTION])
