"""Frames of the transports beside gRPC, as both sides read them."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time
from collections.abc import Generator, Iterable
from random import Random

from fuzz.target import Feed, Target, expect
from rlmesh.limits import MAX_MESSAGE_BYTES
from rlmesh.transports.pipe import RESERVED, BadFrameError, Pipe, WakeReason
from rlmesh.transports.shm.doorbell import LINE
from rlmesh.transports.shm.pipe import SegmentLayout, ShmPipe
from rlmesh.transports.shm.segment import create_segment, map_segment
from rlmesh.transports.tcp.pipe import TcpPipe

_NUMBERS = (
    0,
    1,
    23,
    24,
    25,
    100,
    1 << 12,
    (1 << 20) + (1 << 12),
    MAX_MESSAGE_BYTES,
    MAX_MESSAGE_BYTES + 1,
    2**64 - 1,
)

# Of shared memory: who reads, what comes with the rings, how far the count goes, and the header.
_FRAME = struct.Struct("<BBBBQQQ")
_PLAN = SegmentLayout.for_slabs(8, 16)
_SERVER, _RINGS, _ASLEEP = 1, 2, 4
_MOST_FRAMES = 4


@contextlib.contextmanager
def _opened_memory() -> Generator[Feed]:
    def feed(data: bytes) -> None:
        if len(data) < _FRAME.size:
            return
        before = _descriptors()
        _feed_memory(data)
        expect(_descriptors() == before, "a descriptor was left behind")

    yield feed


def _feed_memory(data: bytes) -> None:
    # A map holds a descriptor as long as a name holds the map.
    with _memory(client=not data[0] & _SERVER) as (pipe, other, area, lines):
        for start in range(0, min(len(data), _MOST_FRAMES * _FRAME.size), _FRAME.size):
            frame = data[start : start + _FRAME.size]
            if len(frame) < _FRAME.size or not _post(frame, other, area, lines, pipe):
                break


def _post(
    frame: bytes, other: socket.socket, area: memoryview, lines: memoryview, pipe: ShmPipe
) -> bool:
    """Posts a frame and has it received; whether the pipe can go on."""
    flags, segments, kind, count, start, end, elsewhere = _FRAME.unpack(frame)
    struct.pack_into("<QQQ", area, 0, start, end, elsewhere)
    lines[0] = (lines[0] + (count or 1)) & 0xFF
    lines[1] = bool(flags & _ASLEEP)
    if segments % 4:
        with _segments(segments % 4, kind, elsewhere) as descriptors:
            socket.send_fds(other, [b"\0"], descriptors)
    elif flags & _RINGS:
        other.send(b"\0" * (1 + kind))
    try:
        received = pipe.receive(time.monotonic())
    except BadFrameError:
        return False
    if isinstance(received, WakeReason):
        return received is WakeReason.LATE
    _check_received(received)
    pipe.send(b"an answer")
    return True


def _check_received(received: tuple[object, int, int]) -> None:
    buffer, start, end = received
    view = memoryview(buffer)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] # any buffer
    expect(RESERVED <= start <= end <= len(view), f"a message from {start} to {end} was received")
    # The first page and the last are there.
    for place in (start, end - 1) if end > start else ():
        expect(0 <= view[place] <= 255, "a message stands where nothing is")


@contextlib.contextmanager
def _memory(*, client: bool) -> Generator[tuple[ShmPipe, socket.socket, memoryview, memoryview]]:
    """A pipe, the other end of its socket, and what the other side writes in."""
    ours, theirs = socket.socketpair()
    descriptor = create_segment(_PLAN.size)
    whole = map_segment(descriptor, _PLAN.size)
    pipe = ShmPipe(ours, descriptor, _PLAN, client=client)
    view = memoryview(whole)
    first = _PLAN.size - _PLAN.answer if client else _PLAN.size - _PLAN.answer - _PLAN.request
    line = LINE if client else 0
    try:
        with theirs:
            yield pipe, theirs, view[first:], view[line : line + LINE]
    finally:
        pipe.release()


@contextlib.contextmanager
def _segments(count: int, kind: int, size: int) -> Generator[list[int]]:
    """Descriptors of segments, sealed and of the right size if the kind says so."""
    made: list[int] = []
    try:
        for _ in range(count):
            if kind % 4 == 3:
                made.append(os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC))
            elif kind % 4 == 2:
                made.append(os.memfd_create("fuzz", os.MFD_CLOEXEC))
            else:
                wanted = size if kind % 4 == 0 else size // 2
                made.append(create_segment(min(wanted, MAX_MESSAGE_BYTES)))
        yield made
    finally:
        for descriptor in made:
            os.close(descriptor)


def _seeds_memory() -> Iterable[bytes]:
    for side in (0, _SERVER):
        usual = _FRAME.pack(side | _RINGS, 0, 0, 1, RESERVED, RESERVED + 40, 0)
        large = _FRAME.pack(side | _ASLEEP, 1, 0, 1, RESERVED, (1 << 21) - 8, 1 << 21)
        yield usual * 2
        yield large + usual
        yield usual + large


def _mutate_memory(data: bytes, random: Random) -> bytes | None:
    frames = [
        list(frame) for frame in _FRAME.iter_unpack(data[: len(data) // _FRAME.size * _FRAME.size])
    ]
    if not frames:
        return None
    frame = random.choice(frames)
    at = random.randrange(len(frame))
    frame[at] = random.randrange(256) if at < 4 else random.choice(_NUMBERS)
    if random.random() < 0.3:
        frames.append(random.choice(frames))
    return b"".join(_FRAME.pack(*frame) for frame in frames)


_LENGTH = struct.Struct("<Q")


@contextlib.contextmanager
def _opened_direct() -> Generator[Feed]:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def feed(data: bytes) -> None:
            if not data:
                return
            stream = data[1:]
            cuts = [len(stream) * part // (1 + data[0] % 4) for part in range(1 + data[0] % 4)]
            pieces = [stream[a:b] for a, b in zip(cuts, [*cuts[1:], len(stream)], strict=True)]
            with _connected(listener) as (pipe, other):
                _check_stream(pipe, other, pieces)

        yield feed


def _check_stream(pipe: Pipe, other: socket.socket, pieces: list[bytes]) -> None:
    expected, bad = _messages(b"".join(pieces))
    found: list[bytes] = []
    try:
        for piece in pieces:
            other.sendall(piece)
            _take(pipe, found, time.monotonic())
        other.shutdown(socket.SHUT_WR)
        # For what is on its way; it ends with the connection.
        expect(
            _take(pipe, found, time.monotonic() + 10) is WakeReason.GONE, "the end was not reported"
        )
        expect(not bad, "a frame without end was received")
    except BadFrameError:
        expect(bad, "a frame was refused that can be")
    expect(found == expected, f"{len(found)} messages were received of {len(expected)}")


def _take(pipe: Pipe, found: list[bytes], deadline: float) -> WakeReason:
    """Takes what comes; why no more does."""
    while not isinstance(received := pipe.receive(deadline), WakeReason):
        buffer, start, end = received
        found.append(bytes(buffer[start:end]))
    return received


def _messages(stream: bytes) -> tuple[list[bytes], bool]:
    """The messages of a stream, and whether one comes that is too long."""
    found: list[bytes] = []
    while len(stream) >= _LENGTH.size:
        (length,) = _LENGTH.unpack_from(stream)
        if length > MAX_MESSAGE_BYTES:
            return found, True
        if len(stream) < _LENGTH.size + length:
            break
        found.append(stream[_LENGTH.size : _LENGTH.size + length])
        stream = stream[_LENGTH.size + length :]
    return found, False


@contextlib.contextmanager
def _connected(listener: socket.socket) -> Generator[tuple[TcpPipe, socket.socket]]:
    other = socket.create_connection(listener.getsockname())
    # Not to be waited for by the system: there are many.
    other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with other:
        pipe = TcpPipe(listener.accept()[0])
        try:
            yield pipe, other
        finally:
            other.close()
            pipe.release()


def _seeds_direct() -> Iterable[bytes]:
    for head in range(4):
        frames = [_LENGTH.pack(len(text)) + text for text in (b"", b"a", b"some text" * 20)]
        yield bytes([head]) + b"".join(frames)
        yield bytes([head]) + frames[1] + _LENGTH.pack(MAX_MESSAGE_BYTES) + b"half"


def _mutate_direct(data: bytes, random: Random) -> bytes | None:
    messages, _ = _messages(data[1:])
    if not messages:
        return None
    frames = [_LENGTH.pack(len(text)) + text for text in messages]
    at = random.randrange(len(frames))
    length = random.choice((*_NUMBERS, len(messages[at]) - 1, len(messages[at]) + 1)) % 2**64
    frames[at] = random.choice(
        (_LENGTH.pack(length) + messages[at], frames[at] * 2, _LENGTH.pack(0), frames[at][:-1])
    )
    return bytes([random.randrange(4)]) + b"".join(frames)


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


MEMORY_FRAMES = Target(
    "memory_frames",
    "frames in shared memory, as both sides read them",
    _opened_memory,
    _seeds_memory,
    _mutate_memory,
    longest=200,
    linux=True,
)
DIRECT_FRAMES = Target(
    "direct_frames",
    "frames of a connection, as both sides read them",
    _opened_direct,
    _seeds_direct,
    _mutate_direct,
)
