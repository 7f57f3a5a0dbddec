"""How a side of shared memory waits: in a loop, in a crowd, asleep."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Generator

import pytest

from rlmesh.transports import spin_policy
from rlmesh.transports.pipe import WakeReason
from rlmesh.transports.shm import doorbell
from rlmesh.transports.shm.pipe import ShmPipe
from support.pipes import Ends, message, shm_ends

NEVER, ALWAYS = float("inf"), 0.0


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Generator[Ends[ShmPipe]]:
    monkeypatch.setattr(spin_policy, "SPINS", True)
    monkeypatch.setattr(doorbell, "ORDERED", True)
    # However long a busy machine takes for some exchanges.
    monkeypatch.setattr(spin_policy, "_RARE", NEVER)
    with shm_ends() as made:
        yield made


class Offers:
    """Stands in for the system's offer of the processor.

    Args:
        meanwhile: What another process does with it.
    """

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[int], object] = lambda _: None
    ) -> None:
        self.count = 0
        self._meanwhile = meanwhile
        monkeypatch.setattr(os, "sched_yield", self)

    def __call__(self) -> None:
        self.count += 1
        self._meanwhile(self.count)


def exchanges(ends: Ends[ShmPipe], count: int) -> None:
    for _ in range(count):
        ends.server.send(b"there")
        assert message(ends.client) == b"there"


def test_a_side_that_is_alone_offers_its_processor_now_and_then(
    ends: Ends[ShmPipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spin_policy, "_ALONE", NEVER)
    offers = Offers(monkeypatch)
    exchanges(ends, 320)
    assert offers.count == 10


def test_a_side_in_a_crowd_takes_what_came_while_others_had_its_processor(
    ends: Ends[ShmPipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spin_policy, "_ALONE", ALWAYS)
    exchanges(ends, 32)
    rings = ends.client._sock

    def meanwhile(count: int) -> None:
        if count == 2:
            ends.server.send(b"meanwhile")

    offers = Offers(monkeypatch, meanwhile)
    assert message(ends.client) == b"meanwhile"
    assert offers.count == 2
    with pytest.raises(BlockingIOError):
        # Nobody slept, so nobody was woken.
        rings.recv(1, socket.MSG_DONTWAIT)


def test_a_side_in_a_crowd_sleeps_when_nothing_has_come_after_some_offers(
    ends: Ends[ShmPipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spin_policy, "_ALONE", ALWAYS)
    exchanges(ends, 32)
    offers = Offers(monkeypatch)
    assert ends.client.receive(time.monotonic()) is WakeReason.LATE
    assert offers.count == spin_policy._YIELDS


def test_a_side_spins_again_once_the_crowd_has_gone(
    ends: Ends[ShmPipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spin_policy, "_ALONE", ALWAYS)
    exchanges(ends, 32)
    monkeypatch.setattr(spin_policy, "_ALONE", NEVER)
    # Those of the rest in a crowd, and the look around that ends it.
    exchanges(ends, spin_policy._LONGEST_CROWD + 1)
    offers = Offers(monkeypatch)
    exchanges(ends, spin_policy.LOOKS_AROUND)
    assert offers.count <= 1
