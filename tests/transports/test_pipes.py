"""What every pipe does, of shared memory and of a connection: messages, ends, deadlines, calls."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Generator
from typing import Any

import pytest

from rlmesh.transports.pipe import Pipe, WakeReason
from rlmesh.transports.shm import doorbell
from rlmesh.transports.tcp import pipe as socket_pipe
from support.pipes import ENDS, SOON, Ends, descriptors, message, soon, wait_until_asleep

# Where a pipe of each kind sleeps.
SLEEPS = {"shm": "_sleep", "direct": "_sleep", "direct with TLS": "poll"}
# More than an area holds, more than a connection takes at once, and more than a room has at first.
LARGE = os.urandom(5 << 20)


@pytest.fixture(params=list(ENDS))
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def ends(kind: str) -> Generator[Ends[Pipe]]:
    with ENDS[kind]() as made:
        yield made


def receiving(pipe: Pipe, got: list[Any]) -> threading.Thread:
    """A thread that receives one message, or why there is none."""

    def receive() -> None:
        received = pipe.receive(soon())
        if isinstance(received, tuple):
            buffer, start, end = received
            got.append(bytes(buffer[start:end]))
        else:
            got.append(received)

    thread = threading.Thread(target=receive)
    thread.start()
    return thread


def exchange(asking: Pipe, answering: Pipe, text: bytes) -> bytes:
    """Sends a message that may need the other side to take it, and gives what arrives there."""
    got: list[Any] = []
    thread = receiving(answering, got)
    asking.send(text)
    while thread.is_alive():
        # A pipe sends what did not leave at once while it waits.
        assert asking.receive(time.monotonic() + 0.02) is WakeReason.LATE
    return bytes(got[0])


@pytest.mark.parametrize("text", [b"", b"x", b"ask" * 50])
def test_messages_cross_in_both_directions(ends: Ends[Pipe], text: bytes) -> None:
    for number in range(3):
        ends.client.send(text + b"%d" % number)
        assert message(ends.server) == text + b"%d" % number
        ends.server.send(text)
        assert message(ends.client) == text


def test_messages_larger_than_the_area_cross_in_both_directions(ends: Ends[Pipe]) -> None:
    assert exchange(ends.client, ends.server, LARGE) == LARGE
    assert exchange(ends.server, ends.client, LARGE[::-1]) == LARGE[::-1]
    assert exchange(ends.client, ends.server, b"small") == b"small"


def test_more_messages_cross_than_a_byte_counts(ends: Ends[Pipe]) -> None:
    for number in range(600):
        ends.client.send(b"ask %d" % number)
        assert message(ends.server) == b"ask %d" % number
        ends.server.send(b"answer %d" % number)
        assert message(ends.client) == b"answer %d" % number


def test_a_message_is_what_stands_between_the_places_that_are_posted(ends: Ends[Pipe]) -> None:
    pipe = ends.client
    start = pipe.reserved + 40
    room = pipe.reserve(start + 100)
    room[start : start + 100] = bytes(range(100))
    pipe.post(start + 10, start + 90)
    assert message(ends.server) == bytes(range(10, 90))


def test_a_room_that_grows_keeps_what_was_written(ends: Ends[Pipe], kind: str) -> None:
    pipe, start = ends.server, ends.server.reserved
    text = os.urandom(6 << 20)
    end, size = start, 100
    while end < start + len(text):
        piece = text[end - start : end - start + size]
        room = pipe.reserve(end + len(piece), end if end > start else 0)
        room[end : end + len(piece)] = piece
        end += len(piece)
        size *= 3
    got: list[Any] = []
    thread = receiving(ends.client, got)
    pipe.post(start, end)
    while thread.is_alive():
        assert pipe.receive(time.monotonic() + 0.02) is WakeReason.LATE
    assert got == [text]


def test_a_large_room_that_is_not_used_leaves_nothing(ends: Ends[Pipe]) -> None:
    before = descriptors()
    ends.server.reserve(len(LARGE))
    ends.server.reserve(2 * len(LARGE), 100)
    ends.server.reserve(100)[ends.server.reserved : ends.server.reserved + 4] = b"text"
    assert descriptors() == before
    ends.server.post(ends.server.reserved, ends.server.reserved + 4)
    assert message(ends.client) == b"text"


def test_a_deadline_that_has_passed_does_not_keep_a_message_back(ends: Ends[Pipe]) -> None:
    ends.client.send(b"there")
    assert message(ends.server, time.monotonic() - 1) == b"there"


def test_a_wait_ends_at_its_deadline_and_the_message_may_come_later(ends: Ends[Pipe]) -> None:
    begun = time.monotonic()
    assert ends.client.receive(begun + 0.05) is WakeReason.LATE
    assert time.monotonic() >= begun + 0.05
    assert ends.client.receive(begun) is WakeReason.LATE
    ends.server.send(b"late")
    assert message(ends.client) == b"late"


@pytest.fixture
def _for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has a pipe that sleeps look around only when it is woken."""
    monkeypatch.setattr(doorbell, "_FIRST_POLL", 60_000.0)
    monkeypatch.setattr(doorbell, "_LONGEST_POLL", 60_000.0)
    monkeypatch.setattr(socket_pipe, "_LONGEST_POLL", 60_000.0)


@pytest.mark.usefixtures("_for_good")
def test_a_side_that_sleeps_is_woken_by_a_message(ends: Ends[Pipe], kind: str) -> None:
    got: list[Any] = []
    thread = receiving(ends.server, got)
    wait_until_asleep(thread, SLEEPS[kind])
    ends.client.send(b"wake up")
    thread.join(SOON)
    assert got == [b"wake up"]


@pytest.mark.usefixtures("_for_good")
def test_a_side_that_sleeps_is_woken_by_a_call(ends: Ends[Pipe], kind: str) -> None:
    got: list[Any] = []
    thread = receiving(ends.server, got)
    wait_until_asleep(thread, SLEEPS[kind])
    os.eventfd_write(ends.called, 1)
    thread.join(SOON)
    assert got == [WakeReason.CALLED]


def test_a_message_that_comes_with_a_call_is_not_lost(ends: Ends[Pipe]) -> None:
    os.eventfd_write(ends.called, 1)
    assert ends.server.receive(soon()) is WakeReason.CALLED
    ends.client.send(b"ask")
    received = ends.server.receive(soon())
    os.eventfd_read(ends.called)
    if received is WakeReason.CALLED:
        received = ends.server.receive(soon())
    assert isinstance(received, tuple)
    buffer, start, end = received
    assert bytes(buffer[start:end]) == b"ask"


@pytest.mark.parametrize("end", ["close", "release", "finish"])
def test_what_was_sent_before_the_end_is_received_then_the_end(ends: Ends[Pipe], end: str) -> None:
    ends.server.send(b"last")
    getattr(ends.server, end)()
    assert message(ends.client) == b"last"
    for _ in range(2):
        assert ends.client.receive(soon()) is WakeReason.GONE


@pytest.mark.usefixtures("_for_good")
@pytest.mark.parametrize("closer", ["client", "server"])
def test_a_side_that_sleeps_is_woken_by_the_end(ends: Ends[Pipe], kind: str, closer: str) -> None:
    # Its own end, closed by another thread, or the other one.
    got: list[Any] = []
    thread = receiving(ends.server, got)
    wait_until_asleep(thread, SLEEPS[kind])
    getattr(ends, closer).close()
    thread.join(SOON)
    assert got == [WakeReason.GONE]


@pytest.mark.parametrize("nbytes", [10, len(LARGE)])
def test_a_port_gives_its_last_message_again_also_after_the_end(
    ends: Ends[Pipe], nbytes: int
) -> None:
    pipe, start = ends.server, ends.server.reserved
    assert pipe.last() == b""
    for text in (LARGE[:nbytes], LARGE[-nbytes:]):
        pipe.reserve(start + nbytes)[start : start + nbytes] = text
        pipe.post(start, start + nbytes)
        assert pipe.last() == text
    ends.client.release()
    assert pipe.receive(soon()) is WakeReason.GONE
    pipe.release()
    assert pipe.last() == text
    pipe.send(b"into the void")
    assert pipe.last() == b"into the void"


def test_sending_to_a_side_that_has_gone_raises_nothing(ends: Ends[Pipe]) -> None:
    ends.server.release()
    for text in (b"ask", LARGE, b"ask"):
        ends.client.send(text)
    assert ends.client.receive(soon()) is WakeReason.GONE


def test_ends_may_be_repeated(ends: Ends[Pipe]) -> None:
    for _ in range(2):
        ends.client.close()
        ends.client.finish()
    for _ in range(2):
        ends.client.release()


@pytest.mark.parametrize("text", [b"the answer", LARGE], ids=["small", "large"])
def test_what_is_sent_aside_is_not_what_is_written_in_the_room(
    ends: Ends[Pipe], text: bytes
) -> None:
    pipe, start = ends.server, ends.server.reserved
    end = start + len(text)
    room = pipe.reserve(end)
    got: list[Any] = []
    thread = receiving(ends.client, got)
    pipe.send_out_of_band(text)
    room[start:end] = bytes(len(text))
    thread.join(SOON)
    assert got == [text]
    assert pipe.last() == text
    ends.client.send(b"the next")
    assert message(pipe) == b"the next"
    room = pipe.reserve(end)
    room[start:end] = text[::-1]
    pipe.post(start, end)
    thread = receiving(ends.client, got)
    while thread.is_alive():
        # What of it had not left yet leaves now.
        assert pipe.receive(time.monotonic() + 0.02) is WakeReason.LATE
    assert got == [text, text[::-1]]


@pytest.mark.parametrize("nbytes", [10, len(LARGE)])
def test_a_transport_leaves_no_descriptor(kind: str, nbytes: int) -> None:
    before = descriptors()
    with ENDS[kind]() as ends:
        assert exchange(ends.client, ends.server, LARGE[:nbytes]) == LARGE[:nbytes]
        # One that is never received.
        ends.server.send(LARGE[:nbytes])
    del ends
    assert descriptors() == before
