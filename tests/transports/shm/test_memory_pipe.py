"""A pipe of shared memory: where messages stand, and what a hostile other side may do."""

from __future__ import annotations

import array
import contextlib
import os
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Generator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlmesh.limits import MAX_MESSAGE_BYTES
from rlmesh.transports.pipe import RESERVED, BadFrameError, WakeReason
from rlmesh.transports.shm import pipe as memory_pipe
from rlmesh.transports.shm.doorbell import LINE
from rlmesh.transports.shm.pipe import SegmentLayout, ShmPipe
from rlmesh.transports.shm.segment import BadSegmentError, create_segment, map_segment
from support.pipes import (
    PLAN,
    SOON,
    Ends,
    descriptors,
    message,
    shm_ends,
    soon,
    wait_until_asleep,
)

HEADER = struct.Struct("<QQQ")
AREA = PLAN.request


@pytest.fixture
def ends() -> Generator[Ends[ShmPipe]]:
    with shm_ends() as made:
        yield made


def post_header(pipe: ShmPipe, start: int, end: int, elsewhere: int) -> None:
    """Sends a frame as a damaged or hostile side may."""
    HEADER.pack_into(pipe._out, 0, start, end, elsewhere)
    pipe._doorbell.post()


def give(pipe: ShmPipe, *given_away: int) -> None:
    """Sends descriptors, and closes them here."""
    socket.send_fds(pipe._sock, [b"\0"], list(given_away))
    for descriptor in given_away:
        os.close(descriptor)


def unsealed() -> int:
    descriptor = os.memfd_create("unsealed", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, 1 << 20)
    return descriptor


def no_memory() -> int:
    with tempfile.TemporaryFile() as file:
        file.truncate(1 << 20)
        return os.dup(file.fileno())


def pipe() -> int:
    reader, writer = os.pipe()
    os.close(writer)
    return reader


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (0, RESERVED),
        (RESERVED - 1, RESERVED + 5),
        (RESERVED + 5, RESERVED + 4),
        (RESERVED, AREA + 1),
        (AREA + 1, AREA + 1),
        (RESERVED, 2**64 - 1),
        (2**64 - 1, 2**64 - 1),
        (2**63, RESERVED),
    ],
)
@pytest.mark.parametrize("elsewhere", [False, True])
def test_places_that_cannot_be_are_a_bad_frame(
    ends: Ends[ShmPipe], start: int, end: int, elsewhere: bool
) -> None:
    if elsewhere:
        give(ends.client, create_segment(AREA))
    post_header(ends.client, start, end, AREA if elsewhere else 0)
    with pytest.raises(BadFrameError, match=f"a message from {start} to {end} in {AREA} bytes"):
        ends.server.receive(soon())


@pytest.mark.parametrize(
    ("make", "size"),
    [
        (unsealed, 1 << 20),
        (no_memory, 1 << 20),
        (pipe, 1 << 20),
        (lambda: create_segment(1 << 20), (1 << 20) + 1),
        (lambda: create_segment(1 << 20), MAX_MESSAGE_BYTES),
        (lambda: create_segment(1 << 20), MAX_MESSAGE_BYTES + 1),
        (lambda: create_segment(1 << 20), 2**64 - 1),
    ],
    ids=["unsealed", "a file", "a pipe", "too small", "far too small", "too large", "endless"],
)
def test_a_segment_that_cannot_be_is_a_bad_frame_and_is_given_back(
    make: Callable[[], int], size: int
) -> None:
    before = descriptors()
    with shm_ends() as ends:
        give(ends.client, make())
        post_header(ends.client, RESERVED, RESERVED + 1, size)
        with pytest.raises(BadFrameError, match="a message"):
            ends.server.receive(soon())
    del ends
    assert descriptors() == before


def test_a_segment_that_is_announced_and_never_comes_is_a_bad_frame(
    ends: Ends[ShmPipe],
) -> None:
    # Nobody may be kept waiting for it: it comes before the frame that announces it.
    os.eventfd_write(ends.called, 1)
    post_header(ends.client, RESERVED, RESERVED + 1, 1 << 20)
    with pytest.raises(BadFrameError, match="no segment with it"):
        ends.server.receive(soon())


def test_a_segment_that_is_announced_by_a_side_that_has_gone_is_a_bad_frame(
    ends: Ends[ShmPipe],
) -> None:
    post_header(ends.client, RESERVED, RESERVED + 1, 1 << 20)
    ends.client.release()
    with pytest.raises(BadFrameError, match="no segment with it"):
        ends.server.receive(soon())


def test_segments_that_no_message_announces_are_a_bad_frame_and_are_given_back() -> None:
    before = descriptors()
    with shm_ends() as ends:
        give(ends.client, *(create_segment(1) for _ in range(3)))
        with pytest.raises(BadFrameError, match="more than one segment"):
            ends.server.receive(soon())
    del ends
    assert descriptors() == before


def test_a_segment_whose_message_never_comes_is_given_back() -> None:
    # As of a client that is killed between the two.
    before = descriptors()
    with shm_ends() as ends:
        give(ends.client, create_segment(1 << 20))
        ends.client.release()
        assert ends.server.receive(soon()) is WakeReason.GONE
    del ends
    assert descriptors() == before


def test_a_segment_that_arrives_long_before_its_message_is_kept_for_it(
    ends: Ends[ShmPipe],
) -> None:
    descriptor = create_segment(1 << 20)
    with map_segment(descriptor, 1 << 20) as view:
        view[100:104] = b"text"
    give(ends.client, descriptor)
    assert ends.server.receive(time.monotonic()) is WakeReason.LATE
    post_header(ends.client, 100, 104, 1 << 20)
    assert message(ends.server) == b"text"


def test_a_message_of_half_of_the_limit_may_grow(
    ends: Ends[ShmPipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A room that doubles must not become one that the other side refuses.
    limit = 3 * AREA
    monkeypatch.setattr(memory_pipe, "MAX_MESSAGE_BYTES", limit)
    pipe = ends.client
    room = pipe.reserve(2 * AREA)
    room[RESERVED : RESERVED + 4] = b"text"
    end = 2 * AREA + 100
    pipe.reserve(end, RESERVED + 4)[end - 4 : end] = b"tail"
    pipe.post(RESERVED, end)
    arrived = message(ends.server)
    assert (arrived[:4], arrived[-4:], len(arrived)) == (b"text", b"tail", end - RESERVED)


def fill(sock: socket.socket) -> None:
    """Rings until nobody can ring any more."""
    with contextlib.suppress(BlockingIOError):
        while True:
            sock.send(b"\0", socket.MSG_DONTWAIT)


def test_a_side_that_does_not_hear_stops_nobody_from_sending(ends: Ends[ShmPipe]) -> None:
    ends.client._lines[1] = 1  # it says that it sleeps, so that every message rings
    fill(ends.server._sock)
    sent = threading.Event()

    def send() -> None:
        ends.server.send(b"small")
        ends.server.send(b"x" * 2 * AREA)
        sent.set()

    sending = threading.Thread(target=send, daemon=True)
    sending.start()
    try:
        assert sent.wait(SOON), "sending waits for ever"
    finally:
        ends.server.close()
        sending.join(SOON)
    assert ends.server.receive(soon()) is WakeReason.GONE


def test_a_side_that_hears_late_gets_a_message_larger_than_the_area(
    ends: Ends[ShmPipe],
) -> None:
    fill(ends.server._sock)
    sending = threading.Thread(target=ends.server.send, args=(b"x" * 2 * AREA,))
    sending.start()
    wait_until_asleep(sending, "_announce")
    assert message(ends.client) == b"x" * 2 * AREA
    sending.join(SOON)


class EverReady:
    """In place of a pipe's `poll`: whenever it looks, something has come."""

    def __init__(self, pipe: ShmPipe, comes: Callable[[], object]) -> None:
        self._poll = pipe._doorbell._poll
        self._comes = comes
        self._looks = 0
        # What is polled is what the test says; how it is taken is the pipe's own.
        pipe._doorbell._poll = self  # type: ignore[assignment] # it has what is used of it

    def poll(self, milliseconds: float) -> list[tuple[int, int]]:
        """Has something come, and tells of it."""
        self._looks += 1
        assert self._looks < 1000, "nothing ends this wait"
        self._comes()
        return self._poll.poll(milliseconds)


def test_a_side_that_rings_without_end_does_not_hold_up_a_deadline(ends: Ends[ShmPipe]) -> None:
    EverReady(ends.server, lambda: ends.client._sock.send(b"\0"))
    assert ends.server.receive(time.monotonic()) is WakeReason.LATE


def test_a_message_that_comes_with_the_end_is_received_first(ends: Ends[ShmPipe]) -> None:
    def come() -> None:
        # Without a ring, as if the other side had looked before this one slept.
        ends.server._lines[LINE + 1] = 0
        ends.client.send(b"last")
        ends.client.close()

    EverReady(ends.server, come)
    assert message(ends.server) == b"last"


def test_a_segment_larger_than_the_limit_is_a_bad_frame(
    ends: Ends[ShmPipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_pipe, "MAX_MESSAGE_BYTES", 1 << 19)
    give(ends.client, create_segment(1 << 20))
    post_header(ends.client, RESERVED, RESERVED + 1, 1 << 20)
    with pytest.raises(BadFrameError, match="the limit is"):
        ends.server.receive(soon())


@given(st.binary(min_size=HEADER.size, max_size=HEADER.size), st.booleans())
def test_any_header_is_a_message_within_the_area_or_a_bad_frame(header: bytes, near: bool) -> None:
    start, end, elsewhere = HEADER.unpack(header)
    if near:
        start, end, elsewhere = start % (2 * AREA), end % (2 * AREA), elsewhere % 2
    with shm_ends() as ends:
        post_header(ends.client, start, end, elsewhere)
        try:
            received = ends.server.receive(soon())
        except BadFrameError:
            return
        assert isinstance(received, tuple)
        _, first, last = received
        assert (first, last) == (start, end)
        assert RESERVED <= first <= last <= AREA


@given(st.binary(min_size=2 * LINE, max_size=2 * LINE))
def test_scribbled_control_lines_hurt_nobody_else(scribble: bytes) -> None:
    with shm_ends() as ends:
        ends.client.send(b"ask")
        assert message(ends.server) == b"ask"
        ends.client._lines[: 2 * LINE] = scribble
        ends.server.send(b"answer")
        received = ends.server.receive(time.monotonic())
        # The same frame again, where the count says that there is one more.
        assert received in (WakeReason.LATE, (ends.server._in, RESERVED, RESERVED + 3))
        ends.client.close()
        if received is WakeReason.LATE:
            assert ends.server.receive(soon()) is WakeReason.GONE


def test_a_message_that_changes_after_it_was_sent_stays_in_its_place(
    ends: Ends[ShmPipe],
) -> None:
    ends.client.send(b"ask")
    received = ends.server.receive(soon())
    assert isinstance(received, tuple)
    HEADER.pack_into(ends.client._out, 0, 2**63, 2**64 - 1, 2**64 - 1)
    assert received[1:] == (RESERVED, RESERVED + 3)


def test_a_side_that_sleeps_says_so_and_one_that_does_not_is_not_rung(
    ends: Ends[ShmPipe],
) -> None:
    ends.client.send(b"ask")
    with pytest.raises(BlockingIOError):
        ends.server._sock.recv(1, socket.MSG_DONTWAIT)
    assert ends.client.receive(time.monotonic() + 0.01) is WakeReason.LATE
    lines = ends.client._lines
    assert (lines[1], lines[LINE + 1]) == (0, 0), "nobody sleeps any more"


@pytest.mark.parametrize(("action", "observation"), [(0, 0), (1, 1), (10**6, 10**7)])
def test_a_plan_has_room_for_its_slabs_and_for_infos(action: int, observation: int) -> None:
    plan = SegmentLayout.for_slabs(action, observation)
    assert plan.request >= action + 10**6
    assert plan.answer >= observation + 10**6
    with shm_ends(plan) as ends:
        ends.client.send(b"a" * action)
        assert len(message(ends.server)) == action
        ends.server.send(b"o" * observation)
        assert len(message(ends.client)) == observation


@pytest.mark.parametrize(
    ("size", "offset"),
    [(0, 0), (8193, 0), (4097, 4096), (1, 8192), (10, 5), (2**63, 0), (2**62, 2**62), (-1, 0)],
)
def test_a_part_that_a_segment_has_not_is_a_bad_segment(size: int, offset: int) -> None:
    descriptor = create_segment(8192)
    try:
        with pytest.raises(BadSegmentError):
            map_segment(descriptor, size, offset)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("make", [unsealed, no_memory, pipe])
def test_a_descriptor_that_is_no_sealed_segment_is_a_bad_segment(make: Callable[[], int]) -> None:
    descriptor = make()
    try:
        with pytest.raises(BadSegmentError):
            map_segment(descriptor, 4096)
    finally:
        os.close(descriptor)


def test_nobody_can_cut_a_segment_off() -> None:
    descriptor = create_segment(8192)
    try:
        for size in (0, 4096, 16384):
            with pytest.raises(PermissionError):
                os.ftruncate(descriptor, size)
    finally:
        os.close(descriptor)


def test_a_port_of_a_bad_segment_gives_the_descriptor_back() -> None:
    before = descriptors()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        with pytest.raises(BadSegmentError):
            ShmPipe(ours, create_segment(PLAN.size - 1), PLAN, client=True)
    assert descriptors() == before


@pytest.mark.parametrize("plan", [SegmentLayout(4096, 23), SegmentLayout(0, 4096)])
def test_an_area_without_room_for_a_header_is_a_bad_segment(plan: SegmentLayout) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(BadSegmentError, match="no header"):
        ShmPipe(ours, create_segment(1 << 20), plan, client=True)


def test_more_descriptors_than_fit_in_one_ring_are_given_back() -> None:
    before = descriptors()
    with shm_ends() as ends:
        many = array.array("i", [create_segment(1) for _ in range(60)])
        give(ends.client, *many)
        with pytest.raises(BadFrameError):
            ends.server.receive(soon())
    del ends
    assert descriptors() == before
