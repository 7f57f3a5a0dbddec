"""Which compression a client asks for where it measures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import pytest

from rlmesh.transports.compression.choice import FastestChoice
from rlmesh_api.v1 import session_pb2

IDENTITY, LZ4, ZSTD = (
    session_pb2.COMPRESSION_IDENTITY,
    session_pb2.COMPRESSION_LZ4,
    session_pb2.COMPRESSION_ZSTD,
)
LARGE, SMALL = 100_000, 100
SLOW_LINE = {IDENTITY: 70e-3, LZ4: 20e-3, ZSTD: 10e-3}
FAST_LINE = {IDENTITY: 1e-3, LZ4: 2e-3, ZSTD: 3e-3}

Costs: TypeAlias = "Mapping[session_pb2.Compression.ValueType, float]"


@pytest.fixture
def choice() -> FastestChoice:
    return FastestChoice((LZ4, ZSTD), "tcp://host:1", 1024)


def drive(
    choice: FastestChoice, costs: Costs, count: int, nbytes: int = LARGE, call: str = "step"
) -> list[session_pb2.Compression.ValueType]:
    """So many exchanges that take as long as `costs` says; the compressions that were chosen."""
    chosen: list[session_pb2.Compression.ValueType] = []
    for _ in range(count):
        chosen.append(choice.next(call))
        choice.took(call, costs[chosen[-1]], nbytes)
    return chosen


@pytest.mark.parametrize(("costs", "best"), [(SLOW_LINE, ZSTD), (FAST_LINE, IDENTITY)])
def test_the_fastest_is_chosen_once_each_was_measured(
    choice: FastestChoice, costs: Costs, best: session_pb2.Compression.ValueType
) -> None:
    drive(choice, costs, 20)
    chosen = drive(choice, costs, 5000)
    assert chosen.count(best) / len(chosen) > 0.99


def test_all_of_them_are_tried_again_now_and_then(choice: FastestChoice) -> None:
    drive(choice, SLOW_LINE, 20)
    assert set(drive(choice, SLOW_LINE, 40)) == {IDENTITY, LZ4, ZSTD}


def test_another_is_chosen_when_the_line_has_changed(choice: FastestChoice) -> None:
    drive(choice, SLOW_LINE, 2000)
    drive(choice, FAST_LINE, 6000)
    assert drive(choice, FAST_LINE, 100).count(IDENTITY) > 95


def test_one_slow_exchange_changes_nothing(choice: FastestChoice) -> None:
    drive(choice, SLOW_LINE, 30)
    assert choice.next("step") == ZSTD
    choice.took("step", 10.0, LARGE)
    assert drive(choice, SLOW_LINE, 20).count(ZSTD) >= 18


def test_small_messages_are_never_compressed(choice: FastestChoice) -> None:
    assert set(drive(choice, SLOW_LINE, 100, SMALL)) == {IDENTITY}
    drive(choice, SLOW_LINE, 100, LARGE)
    # The first that is small again is not known to be small before.
    assert set(drive(choice, SLOW_LINE, 100, SMALL)[1:]) == {IDENTITY}


def test_calls_of_another_kind_are_measured_apart(choice: FastestChoice) -> None:
    drive(choice, SLOW_LINE, 100, call="step")
    drive(choice, FAST_LINE, 20, call="reset")
    assert choice.next("reset") == IDENTITY
    assert choice.next("step") == ZSTD


def test_a_server_that_knows_no_compression_gets_none() -> None:
    choice = FastestChoice((), "tcp://host:1", 1024)
    assert set(drive(choice, SLOW_LINE, 100)) == {IDENTITY}
