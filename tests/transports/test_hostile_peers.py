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
from rlmesh.codec.step.result import compile_step_result
from rlmesh.codec.step.wire import PREFIX, STEP, write_action, write_sequence
from rlmesh.errors import EndpointBusyError, EndpointError, ProtocolError
from rlmesh.limits import MAX_MESSAGE_BYTES
from rlmesh.transports.grpc import transport as grpc_transport
from rlmesh.transports.pipe import RESERVED, Pipe
from rlmesh.transports.shm.doorbell import LINE
from rlmesh.transports.shm.pipe import ShmPipe
from rlmesh.transports.shm.segment import create_segment
from rlmesh.transports.tcp.pipe import TcpPipe
from rlmesh_api.v1 import session_pb2
from support.comparing import assert_same
from support.pipes import PLAN, SOON, message
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


def drive(address: str, transport: Any) -> None:
    """A client like any other, once the environment is free."""
    pause = threading.Event()
    deadline = time.monotonic() + SOON
    while True:
        with contextlib.suppress(EndpointBusyError):
            client = rlmesh.RemoteEnv[Any, Any](address, transport=transport, reconnect=False)
            break
        assert time.monotonic() < deadline, "the endpoint was never free again"
        pause.wait(0.01)
    with contextlib.closing(client):
        assert client.transport == transport
        client.reset(seed=0)
        assert_same(client.step(ACTION)[0], ACTION)


Deed = Callable[[Any], None]


@contextlib.contextmanager
def driven_by_strangers(
    transport: Any, behave: Deed
) -> Generator[tuple[str, rlmesh.RemoteEnv[Any, Any]]]:
    """The address of a strange server, and a client that has reset it."""
    with (
        strange_server(ScriptedEnv(), transport, behave, PLAN) as address,
        contextlib.closing(
            rlmesh.RemoteEnv[Any, Any](address, transport=transport, reconnect=False)
        ) as client,
    ):
        assert client.transport == transport
        client.reset()
        yield address, client


def says(text: bytes) -> Deed:
    """Sends a message."""
    return lambda pipe: pipe.send(text)


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


@pytest.mark.parametrize("transport", ["shm", "direct"])
@pytest.mark.parametrize("text", SENSELESS.values(), ids=SENSELESS.keys())
def test_a_message_that_makes_no_sense_ends_its_session_and_not_the_server(
    transport: Any, text: bytes
) -> None:
    with served() as (env, server):
        with raw_session(server.address) as session:
            pipe = session.pipe(transport)
            pipe.send(text)
            # What is large leaves while the pipe waits.
            deadline = time.monotonic() + SOON
            while session.is_active and time.monotonic() < deadline:
                pipe.receive(time.monotonic() + 0.05)
            session.wait_until_ended()
            assert env.calls == []
            drive(server.address, transport)
            pipe.release()


def header(start: int, end: int, elsewhere: int) -> Deed:
    def act(pipe: ShmPipe) -> None:
        struct.pack_into("<QQQ", pipe._out, 0, start, end, elsewhere)
        pipe._doorbell.post()

    return act


def scribble(pipe: ShmPipe) -> None:
    """Noise all over the control lines and the area, as long as the test lasts."""
    pipe._lines[: 2 * LINE] = NOISE.bytes(2 * LINE)
    pipe._out[:500] = NOISE.bytes(500)
    for count in range(256):
        pipe._lines[0] = count
    pipe._sock.sendall(NOISE.bytes(500))


def segments(pipe: ShmPipe) -> None:
    many = [create_segment(1) for _ in range(20)]
    socket.send_fds(pipe._sock, [b"\0"], many)
    for segment in many:
        os.close(segment)


def raw(text: bytes) -> Deed:
    def act(pipe: TcpPipe) -> None:
        connection(pipe).sendall(text)

    return act


def connection(pipe: TcpPipe) -> socket.socket:
    """What is under a pipe that is not encrypted."""
    assert isinstance(pipe._sock, socket.socket)
    return pipe._sock


def reset_connection(pipe: TcpPipe) -> None:
    sock = connection(pipe)
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


@pytest.mark.parametrize(("transport", "deed"), IMPOSSIBLE.values(), ids=IMPOSSIBLE.keys())
def test_a_frame_that_cannot_be_ends_its_session_and_not_the_server(
    transport: Any, deed: Deed
) -> None:
    with served() as (env, server):
        with raw_session(server.address) as session:
            pipe = session.pipe(transport)
            deed(pipe)
            session.wait_until_ended()
            assert env.calls == []
            drive(server.address, transport)
            pipe.release()


RUDE: dict[str, tuple[str, Deed]] = {
    "scribbles": ("shm", scribble),
    "sends half a frame": ("direct", raw(struct.pack("<Q", 100) + b"half")),
    "announces much": ("direct", raw(struct.pack("<Q", MAX_MESSAGE_BYTES) + b"half")),
    "resets the connection": ("direct", reset_connection),
    "does not wait for answers": (
        "direct",
        raw(1000 * (struct.pack("<Q", len(SENSELESS["no call"])) + SENSELESS["no call"])),
    ),
}


@pytest.mark.parametrize(("transport", "deed"), RUDE.values(), ids=RUDE.keys())
def test_after_a_rude_client_has_left_comes_the_next(transport: Any, deed: Deed) -> None:
    with served() as (_, server):
        with raw_session(server.address) as session:
            pipe = session.pipe(transport)
            deed(pipe)
            session.close()
            drive(server.address, transport)
            pipe.release()


def server_end(server: rlmesh.EnvServer) -> Any:
    """The server's end of the transport of the session that it has."""
    (session,) = server._rpc_server._service._manager.sessions()
    receiver: Any = session.receiver
    return receiver._pipe


@pytest.mark.parametrize("transport", ["shm", "direct"])
def test_a_client_that_reads_no_answers_does_not_keep_a_server_from_ending(transport: Any) -> None:
    env = ScriptedEnv()
    frame = np.random.default_rng(0).integers(0, 256, 30 << 20, np.uint8)
    env.script["render"] = lambda: frame
    server = rlmesh.EnvServer(env, direct=ANY_PORT)
    server.start()
    with raw_session(server.address) as session:
        pipe = session.pipe(transport)
        pipe.send(request(stats=session_pb2.StatsCall()))
        message(pipe)
        if isinstance(pipe, ShmPipe):
            # Every answer rings, and nobody hears it.
            pipe._lines[1] = 1
            with contextlib.suppress(BlockingIOError):
                while True:
                    server_end(server)._sock.send(b"\0", socket.MSG_DONTWAIT)
        pipe.send(request(3, render=session_pb2.RenderCall()))
        pause = threading.Event()
        while "render" not in env.names():
            pause.wait(0.01)
        ending = threading.Thread(target=server.shutdown)
        ending.start()
        ending.join(SOON)
        assert not ending.is_alive()
        assert env.names()[-1] == "close"
        pipe.release()


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has clients not wait for a stream to end that does not."""
    monkeypatch.setattr(grpc_transport, "_END_SECONDS", 0.05)


def answer_to_step(slab: bytes = SLAB, sequence: int = 3, num_envs: int | None = None) -> bytes:
    form = compile_step_result(num_envs)
    head = PREFIX + form.head
    buffer = bytearray(head) + slab
    numbers: Any = (1.0, False, False)
    if num_envs is not None:
        numbers = (
            np.ones(num_envs),
            np.zeros(num_envs, np.bool_),
            np.zeros(num_envs, np.bool_),
        )
    form.write(buffer, PREFIX, STEP, len(buffer), numbers, b"")
    write_sequence(buffer, 0, sequence)
    return bytes(buffer)


def answer_to_reset(sequence: int = 2) -> bytes:
    result = session_pb2.ResetResult(observation=SLAB)
    return session_pb2.SessionResponse(sequence=sequence, reset=result).SerializeToString()


def behaving(*deeds: Deed) -> Callable[[Pipe], None]:
    """Does one thing for every message that arrives."""

    def behave(pipe: Pipe) -> None:
        for deed in deeds:
            if not isinstance(pipe.receive(), tuple):
                return
            deed(pipe)
        while isinstance(pipe.receive(), tuple):
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
    "of sub-environments": answer_to_step(num_envs=2),
    "another answer": answer_to_reset(3),
    "a short slab": answer_to_step(SLAB[:-1]),
    "a long slab": answer_to_step(SLAB + b"\0"),
    "no slab": answer_to_step(b""),
    "a damaged info": info(b"\xc1"),
    "an info that is no dict": info(b"\x01"),
}


@pytest.mark.parametrize("transport", ["shm", "direct"])
@pytest.mark.parametrize("text", WRONG_ANSWERS.values(), ids=WRONG_ANSWERS.keys())
def test_an_answer_that_makes_no_sense_is_a_protocol_error(transport: Any, text: bytes) -> None:
    behave = behaving(says(answer_to_reset()), says(text))
    with driven_by_strangers(transport, behave) as (address, client):
        with pytest.raises(ProtocolError, match=address):
            client.step(ACTION)


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize(("transport", "deed"), IMPOSSIBLE.values(), ids=IMPOSSIBLE.keys())
def test_a_frame_that_cannot_be_is_a_protocol_error_and_no_later_call_hangs(
    transport: Any, deed: Deed
) -> None:
    behave = behaving(says(answer_to_reset()), deed)
    with driven_by_strangers(transport, behave) as (address, client):
        with pytest.raises(ProtocolError, match=f"{address} sent a broken frame"):
            client.step(ACTION)
        with pytest.raises(EndpointError):
            client.reset()


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("transport", ["shm", "direct"])
def test_a_server_that_leaves_the_transport_is_a_lost_connection(transport: Any) -> None:
    behave = behaving(says(answer_to_reset()), lambda pipe: pipe.close())
    with driven_by_strangers(transport, behave) as (_, client):
        with pytest.raises(
            rlmesh.errors.ConnectionLostError, match=f"left the transport {transport}"
        ):
            client.step(ACTION)


@pytest.mark.parametrize("transport", ["shm", "direct"])
def test_an_answer_of_protobufs_own_form_is_as_good(transport: Any) -> None:
    result = session_pb2.StepResult(
        observation=SLAB, rewards=[2.5], terminations=[True], truncations=[False]
    )
    text = session_pb2.SessionResponse(sequence=3, step=result).SerializeToString()
    behave = behaving(says(answer_to_reset()), says(text))
    with driven_by_strangers(transport, behave) as (_, client):
        assert_same(client.step(ACTION), (ACTION, 2.5, True, False, {}))


@pytest.mark.parametrize("transport", ["shm", "direct"])
def test_a_step_of_protobufs_own_form_is_as_good(transport: Any) -> None:
    call = session_pb2.StepCall(action=SLAB)
    with served() as (env, server):
        with raw_session(server.address) as session:
            pipe = session.pipe(transport)
            pipe.send(request(reset=session_pb2.ResetCall()))
            message(pipe)
            pipe.send(request(3, step=call))
            answer = session_pb2.SessionResponse.FromString(message(pipe))
            pipe.release()
    assert answer.WhichOneof("answer") == "step"
    assert (answer.step.observation, list(answer.step.rewards)) == (SLAB, [1.0])
    assert_same(env.actions, [ACTION])
