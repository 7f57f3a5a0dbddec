"""A pipe of a connection: frames in any pieces, and what a hostile other side may do."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import struct
import threading
import time
import types
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlmesh.limits import MAX_MESSAGE_BYTES
from rlmesh.transports.pipe import BadFrameError, WakeReason
from rlmesh.transports.tcp import pipe as socket_pipe
from rlmesh.transports.tcp.pipe import TcpPipe
from support.pipes import SOON, message, soon, tcp_pair

LARGE = os.urandom(20 << 20)


@contextlib.contextmanager
def talking() -> Generator[tuple[TcpPipe, socket.socket]]:
    """A pipe, and the bare end of its connection."""
    ours, theirs = tcp_pair()
    pipe = TcpPipe(ours)
    with theirs:
        try:
            yield pipe, theirs
        finally:
            pipe.release()


@pytest.fixture
def talk() -> Generator[tuple[TcpPipe, socket.socket]]:
    with talking() as both:
        yield both


def framed(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


def taken(sock: socket.socket, nbytes: int) -> bytes:
    """That many bytes from a bare socket."""
    pieces: list[bytes] = []
    sock.settimeout(SOON)
    while nbytes and (piece := sock.recv(min(nbytes, 1 << 16))):
        pieces.append(piece)
        nbytes -= len(piece)
    return b"".join(pieces)


def test_a_frame_is_a_length_and_the_message(talk: tuple[TcpPipe, socket.socket]) -> None:
    pipe, sock = talk
    pipe.send(b"ask")
    assert taken(sock, 11) == b"\x03\0\0\0\0\0\0\0ask"
    sock.sendall(b"\x04\0\0\0\0\0\0\0said")
    assert message(pipe) == b"said"


def test_half_a_frame_is_waited_for(talk: tuple[TcpPipe, socket.socket]) -> None:
    pipe, sock = talk
    frame = framed(b"a message")
    for piece in (frame[:3], frame[3:8], frame[8:12]):
        sock.sendall(piece)
        assert pipe.receive(time.monotonic() + 0.01) is WakeReason.LATE
    sock.sendall(frame[12:])
    assert message(pipe) == b"a message"


def test_a_frame_may_come_byte_by_byte(talk: tuple[TcpPipe, socket.socket]) -> None:
    pipe, sock = talk
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in framed(b"a message"):
        assert pipe.receive(time.monotonic()) is WakeReason.LATE
        sock.sendall(bytes([byte]))
    assert message(pipe) == b"a message"


def test_frames_may_come_together(talk: tuple[TcpPipe, socket.socket]) -> None:
    pipe, sock = talk
    texts = [b"one", b"", b"three" * 30_000, b"four"]
    stream = b"".join(framed(text) for text in texts) + framed(b"five")[:9]
    sending = threading.Thread(target=sock.sendall, args=(stream,))
    sending.start()
    assert [message(pipe) for _ in texts] == texts
    sending.join(SOON)
    assert pipe.receive(time.monotonic() + 0.01) is WakeReason.LATE
    sock.sendall(framed(b"five")[9:])
    assert message(pipe) == b"five"


@given(st.lists(st.binary(max_size=40), max_size=6), st.lists(st.integers(1, 30), min_size=1))
def test_frames_may_come_in_any_pieces(texts: list[bytes], sizes: list[int]) -> None:
    stream = b"".join(framed(text) for text in texts)
    with talking() as (pipe, sock):
        got: list[bytes] = []
        turn = 0
        while stream:
            size = sizes[turn % len(sizes)]
            turn += 1
            sock.sendall(stream[:size])
            stream = stream[size:]
            received = pipe.receive(time.monotonic())
            if isinstance(received, tuple):
                buffer, start, end = received
                got.append(bytes(buffer[start:end]))
        while len(got) < len(texts):
            got.append(message(pipe))
        assert got == texts


@pytest.mark.parametrize("length", [MAX_MESSAGE_BYTES + 1, 2**63, 2**64 - 1])
def test_a_length_over_the_limit_is_a_bad_frame_every_time(
    talk: tuple[TcpPipe, socket.socket], length: int
) -> None:
    pipe, sock = talk
    sock.sendall(struct.pack("<Q", length))
    for _ in range(2):
        with pytest.raises(BadFrameError, match=f"a message of {length} bytes; the limit is"):
            pipe.receive(soon())


def test_what_is_merely_announced_takes_no_memory(talk: tuple[TcpPipe, socket.socket]) -> None:
    pipe, sock = talk
    before = resident()
    for nbytes in (1000, 99_000):
        sending = threading.Thread(
            target=sock.sendall, args=(struct.pack("<Q", MAX_MESSAGE_BYTES) + bytes(nbytes),)
        )
        sending.start()
        while sum(pipe._inbound[2]) < nbytes:
            assert pipe.receive(time.monotonic() + 0.01) is WakeReason.LATE
        sending.join(SOON)
    assert resident() - before < 1 << 25


def resident() -> int:
    """The bytes of memory that this process has."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGESIZE")


def test_the_buffer_of_a_large_message_is_left_to_its_reader(
    talk: tuple[TcpPipe, socket.socket],
) -> None:
    pipe, sock = talk
    kept: list[tuple[memoryview, bytes]] = []
    for filling in range(4):
        text = bytes([filling]) * 200_000
        sending = threading.Thread(target=sock.sendall, args=(framed(text),))
        sending.start()
        received = pipe.receive(soon())
        sending.join(SOON)
        assert isinstance(received, tuple)
        buffer, start, end = received
        assert isinstance(buffer, memoryview)
        assert isinstance(buffer.obj, np.ndarray)
        kept.append((buffer[start:end], text))
    assert all(buffer == text for buffer, text in kept)


def test_the_buffer_of_small_messages_is_the_ports(
    talk: tuple[TcpPipe, socket.socket],
) -> None:
    pipe, sock = talk
    buffers: list[object] = []
    for text in (b"small", LARGE, b"small again", b"and again"):
        sending = threading.Thread(target=sock.sendall, args=(framed(text),))
        sending.start()
        received = pipe.receive(soon())
        sending.join(SOON)
        assert isinstance(received, tuple)
        buffers.append(received[0])
    last = buffers[-1]
    assert isinstance(last, memoryview)
    assert not isinstance(last.obj, np.ndarray)


@pytest.mark.parametrize("head", [0, 1, 7, 63])
def test_what_follows_the_head_of_a_large_message_is_aligned(head: int) -> None:
    ours, theirs = tcp_pair()
    with theirs:
        pipe = TcpPipe(ours, head=head)
        sending = threading.Thread(target=theirs.sendall, args=(framed(bytes(200_000)),))
        sending.start()
        received = pipe.receive(soon())
        sending.join(SOON)
        pipe.release()
    assert isinstance(received, tuple)
    buffer, start, _ = received
    slab = np.ndarray((1000,), np.float64, buffer, start + head)
    assert slab.flags.aligned


def test_a_message_far_larger_than_the_room_is_received(
    talk: tuple[TcpPipe, socket.socket],
) -> None:
    pipe, sock = talk
    sending = threading.Thread(target=sock.sendall, args=(framed(LARGE) + framed(b"small"),))
    sending.start()
    assert message(pipe) == LARGE
    assert message(pipe) == b"small"
    sending.join(SOON)


def test_a_side_that_does_not_read_stops_nobody_from_sending(
    talk: tuple[TcpPipe, socket.socket],
) -> None:
    pipe, sock = talk
    pipe.send(LARGE)
    assert pipe.receive(time.monotonic() + 0.01) is WakeReason.LATE
    got: list[bytes] = []
    reading = threading.Thread(target=lambda: got.append(taken(sock, len(LARGE) + 8)))
    reading.start()
    while reading.is_alive():
        assert pipe.receive(time.monotonic() + 0.02) is WakeReason.LATE
    assert got == [framed(LARGE)]


def test_a_frame_that_comes_before_the_last_one_has_left_is_not_lost(
    talk: tuple[TcpPipe, socket.socket],
) -> None:
    pipe, sock = talk
    pipe.send(LARGE)
    sock.sendall(framed(b"early"))
    for _ in range(2):
        assert pipe.receive(time.monotonic() + 0.01) is WakeReason.LATE
    got: list[bytes] = []
    reading = threading.Thread(target=lambda: got.append(taken(sock, len(LARGE) + 8)))
    reading.start()
    assert message(pipe) == b"early"
    reading.join(SOON)
    assert got == [framed(LARGE)]


def test_bytes_that_trickle_in_without_end_do_not_hold_up_a_deadline(
    talk: tuple[TcpPipe, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe, sock = talk
    sock.sendall(struct.pack("<Q", MAX_MESSAGE_BYTES))

    looks, own = itertools.count(), pipe._poll

    def poll(milliseconds: float) -> list[tuple[int, int]]:
        """Whenever the pipe looks, one more byte has come."""
        assert next(looks) < 1000, "nothing ends this wait"
        sock.sendall(b"x")
        return own.poll(milliseconds)

    monkeypatch.setattr(pipe, "_poll", types.SimpleNamespace(poll=poll))
    assert pipe.receive(time.monotonic()) is WakeReason.LATE


@pytest.mark.parametrize("cut", [0, 5, 8, 12])
def test_an_end_in_the_middle_of_a_frame_is_an_end(
    talk: tuple[TcpPipe, socket.socket], cut: int
) -> None:
    pipe, sock = talk
    sock.sendall(framed(b"a message")[:cut])
    sock.close()
    assert pipe.receive(soon()) is WakeReason.GONE


def test_a_connection_that_is_reset_is_an_end(talk: tuple[TcpPipe, socket.socket]) -> None:
    pipe, sock = talk
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
    assert pipe.receive(soon()) is WakeReason.GONE
    pipe.send(b"nobody hears it")
    assert pipe.receive(soon()) is WakeReason.GONE


def test_the_end_waits_until_the_last_message_has_left(
    talk: tuple[TcpPipe, socket.socket],
) -> None:
    pipe, sock = talk
    got: list[bytes] = []
    pipe.send(LARGE)
    reading = threading.Thread(target=lambda: got.append(taken(sock, len(LARGE) + 9)))
    reading.start()
    pipe.finish()
    reading.join(SOON)
    assert got == [framed(LARGE)]


def test_the_end_does_not_wait_for_a_side_that_does_not_read(
    talk: tuple[TcpPipe, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_pipe, "_LEAVING_SECONDS", 0.05)
    pipe, sock = talk
    pipe.send(LARGE)
    pipe.finish()
    assert len(taken(sock, len(LARGE) + 8)) < len(LARGE)


@given(st.binary(max_size=300))
def test_random_bytes_are_messages_or_a_bad_frame_or_not_enough(junk: bytes) -> None:
    with talking() as (pipe, sock):
        sock.sendall(junk)
        sock.close()
        got = b""
        with contextlib.suppress(BadFrameError):
            while isinstance(received := pipe.receive(soon()), tuple):
                buffer, start, end = received
                got += framed(bytes(buffer[start:end]))
            assert received is WakeReason.GONE
        assert junk.startswith(got)
