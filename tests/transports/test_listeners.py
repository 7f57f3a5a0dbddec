"""The listeners: who comes in, who does not, and whom a rude peer keeps waiting."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
from collections.abc import Callable, Generator
from typing import Any

import pytest

import rlmesh
from rlmesh.transports import listener as listeners
from rlmesh.transports.listener import (
    SECRET_BYTES,
    Listener,
    enter_direct,
    enter_memory,
    open_shm_listener,
)
from rlmesh.transports.pipe import Pipe, WakeReason
from rlmesh.transports.shm.segment import create_segment
from rlmesh_api.v1 import session_pb2
from support.pipes import PLAN, SOON, descriptors, message, opened_since, soon
from support.raw_sessions import SECRET, Attached, RawSession, raw_session
from support.sample_envs import ScriptedEnv
from support.serving import serving

TRANSPORTS = ["shm", "direct"]
ANY_PORT = "tcp://127.0.0.1:0"


@contextlib.contextmanager
def served() -> Generator[tuple[ScriptedEnv, rlmesh.EnvServer]]:
    env = ScriptedEnv()
    with serving(env, direct=ANY_PORT) as server:
        yield env, server


def bare_peer(session: RawSession, transport: str) -> socket.socket:
    """A connection to a listener that has said nothing yet."""
    if transport == "shm":
        sock = socket.socket(socket.AF_UNIX)
        sock.connect("\0" + session.offer("shm"))
    else:
        host, _, pipe = session.offer("direct").rpartition(":")
        sock = socket.create_connection((host, int(pipe)))
    sock.settimeout(SOON)
    return sock


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    "shown",
    [b"", b"x", bytes(SECRET_BYTES - 1), bytes(SECRET_BYTES), b"x" * 1000],
    ids=["nothing", "a byte", "too little", "another one", "too much"],
)
def test_whoever_shows_another_secret_gets_nothing(transport: str, shown: bytes) -> None:
    with served() as (env, server), raw_session(server.address) as session:
        with bare_peer(session, transport) as peer:
            with contextlib.suppress(OSError):
                peer.sendall(shown)
                peer.shutdown(socket.SHUT_WR)
            got: Any = (b"", [])
            # What was sent to nobody may come back as a reset.
            with contextlib.suppress(ConnectionResetError):
                got = socket.recv_fds(peer, 100, 4)[:2]
        assert got == (b"", [])
        assert env.calls == []
        # The one whom the session belongs to comes in afterwards.
        session.pipe(transport).release()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_beginning_of_a_secret_opens_no_listener(transport: str) -> None:
    with served() as (_, server), raw_session(server.address) as session:
        *most, last = session.opened.secret
        assert session.enter(transport, bytes([*most, last ^ 1])) is None
        with bare_peer(session, transport) as peer:
            peer.sendall(session.opened.secret[:-1])
            peer.shutdown(socket.SHUT_WR)
            assert peer.recv(100) == b""


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_secret_of_a_session_that_is_over_opens_no_listener(transport: str) -> None:
    with served() as (_, server):
        with raw_session(server.address) as session:
            session.pipe(transport).release()
            session.close()
            session.wait_until_ended()
            pause = threading.Event()
            while server._rpc_server._service._manager.sessions():
                pause.wait(0.01)
            assert session.enter(transport) is None


def stats(sequence: int) -> bytes:
    call = session_pb2.SessionRequest(sequence=sequence, stats=session_pb2.StatsCall())
    return call.SerializeToString()


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("second", TRANSPORTS)
def test_whoever_comes_in_again_takes_the_place_of_the_transport_before(
    transport: str, second: str
) -> None:
    with served() as (_, server), raw_session(server.address) as session:
        first = session.pipe(transport)
        first.send(stats(2))
        assert message(first)
        other = session.pipe(second)
        assert first.receive(soon()) is WakeReason.GONE
        first.release()
        other.send(stats(3))
        assert message(other)
        other.release()


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("peers", [1, 8])
def test_peers_that_say_nothing_delay_no_other(
    transport: str, peers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listeners, "GREETING_SECONDS", SOON)
    with contextlib.ExitStack() as stack:
        _, server = stack.enter_context(served())
        session = stack.enter_context(raw_session(server.address))
        for _ in range(peers):
            stack.enter_context(bare_peer(session, transport))
        session.pipe(transport).release()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_listener_full_of_silent_peers_sends_the_next_to_grpc_at_once(
    transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listeners, "GREETING_SECONDS", 2 * SOON)
    with contextlib.ExitStack() as stack:
        _, server = stack.enter_context(served())
        with raw_session(server.address) as session:
            peers = [bare_peer(session, transport) for _ in range(listeners._MAX_GREETINGS)]
            for peer in peers:
                stack.enter_context(peer)
            # Answered without a greeting, and not when the others' time is over.
            assert session.enter(transport) is None
            for peer in peers:
                peer.close()
            pause = threading.Event()
            while (pipe := session.enter(transport)) is None:
                pause.wait(0.01)
            pipe.release()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_peer_that_says_nothing_is_closed(
    transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listeners, "GREETING_SECONDS", 0.05)
    with served() as (_, server), raw_session(server.address) as session:
        with bare_peer(session, transport) as peer:
            assert peer.recv(1) == b""


class _Tired(socket.socket):
    """A listener that the system lets nobody in at, once."""

    def __init__(self) -> None:
        super().__init__(socket.AF_INET)
        self.failures = [errno.EMFILE, errno.ECONNABORTED]

    def accept(self) -> Any:
        peer = super().accept()
        if self.failures:
            peer[0].close()
            raise OSError(self.failures.pop(), "as if there were no descriptor")
        return peer


def test_a_listener_stays_open_after_the_system_could_not_accept_a_peer() -> None:
    welcomed = threading.Event()

    def welcome(peer: socket.socket) -> None:
        peer.close()
        welcomed.set()

    bound = _Tired()
    bound.bind(("127.0.0.1", 0))
    bound.listen()
    listener = Listener(bound, welcome)
    try:
        for _ in range(3):
            socket.create_connection(bound.getsockname()).close()
        assert welcomed.wait(SOON)
    finally:
        listener.close()


def test_a_closed_listener_lets_nobody_in_and_leaves_those_who_are_in() -> None:
    before = descriptors()
    pipes: list[Pipe] = []
    arrived = threading.Event()

    def attach(pipe: Pipe, transport: str, process: int) -> None:
        pipes.append(pipe)
        assert (transport, process) == ("shm", os.getpid())
        arrived.set()

    name, listener = open_shm_listener(PLAN, Attached(attach).authenticate)
    try:
        client = enter_memory(name, SECRET)
        assert client is not None
        assert arrived.wait(SOON)
    finally:
        listener.close()
    assert enter_memory(name, SECRET) is None
    client.send(b"still here")
    assert message(pipes[0]) == b"still here"
    client.release()
    pipes.pop().release()
    del client
    assert not opened_since(before)


@contextlib.contextmanager
def odd_listener(family: int, answer: Callable[[socket.socket], None]) -> Generator[Any]:
    """Something at a listener's address that answers as the test says; gives the address."""
    with socket.socket(family) as listener:
        listener.bind(
            ("127.0.0.1", 0) if family == socket.AF_INET else f"\0rlmesh-odd-{os.getpid()}"
        )
        listener.listen()

        def serve() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(SECRET_BYTES)
                answer(peer)
                # Until the peer has gone.
                peer.settimeout(SOON)
                with contextlib.suppress(ConnectionResetError):
                    peer.recv(1)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()
        finally:
            thread.join(SOON)


def give(plan: tuple[int, int], *sizes: int) -> Callable[[socket.socket], None]:
    def answer(peer: socket.socket) -> None:
        segments = [create_segment(size) for size in sizes]
        socket.send_fds(peer, [listeners._PLAN.pack(*plan)], segments)
        for segment in segments:
            os.close(segment)

    return answer


PAGE = 4096


@pytest.mark.parametrize(
    "answer",
    [
        lambda peer: peer.sendall(b"?"),
        lambda peer: peer.sendall(b"?" * 16),
        lambda peer: socket.send_fds(peer, [b"?"], [peer.fileno()]),
        lambda peer: socket.send_fds(peer, [listeners._PLAN.pack(PAGE, PAGE)], [peer.fileno()]),
        give((PAGE, PAGE), 2 * PAGE),
        give((PAGE, PAGE + 1), 3 * PAGE),
        give((PAGE + 1, PAGE), 4 * PAGE),
        give((0, 0), 3 * PAGE),
        give((2**64 - 1, 2**64 - 1), 3 * PAGE),
        give((2**62, PAGE), 3 * PAGE),
    ],
    ids=[
        "a byte",
        "no segment",
        "half a plan",
        "a socket",
        "too small",
        "one too small",
        "not at a page",
        "empty areas",
        "endless areas",
        "a huge area",
    ],
)
def test_a_listener_of_shared_memory_that_gives_junk_is_none(
    answer: Callable[[socket.socket], None],
) -> None:
    before = descriptors()
    with odd_listener(socket.AF_UNIX, answer) as address:
        assert enter_memory(address[1:].decode(), SECRET) is None
    assert not opened_since(before)


@pytest.mark.parametrize("greeting", [b"", b"\0", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_a_direct_listener_that_gives_junk_is_none(
    greeting: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listeners, "GREETING_SECONDS", 0.05)
    before = descriptors()
    with odd_listener(socket.AF_INET, lambda peer: peer.sendall(greeting)) as (host, port):
        assert enter_direct(host, port, SECRET) is None
    assert not opened_since(before)
