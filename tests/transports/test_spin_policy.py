"""When a side that waits looks in a loop, and when it sleeps at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

import pytest

from rlmesh.transports import spin_policy
from rlmesh.transports.spin_policy import SpinPolicy

SHORT, LONG = 50e-6, 5e-3


@pytest.fixture
def side(monkeypatch: pytest.MonkeyPatch) -> SpinPolicy:
    monkeypatch.setattr(spin_policy, "SPINS", True)
    return SpinPolicy()


def wait(side: SpinPolicy, seconds: float) -> bool:
    """A wait that takes so long; whether it was spent, at least at first, in a loop."""
    eager = side.eager
    if not eager:
        side.slept(seconds)
    elif seconds < side.span:
        side.misses = max(0, side.misses - 1)
    else:
        side.missed(seconds)
    return eager


def test_a_side_stops_looking_when_some_waits_were_too_long(side: SpinPolicy) -> None:
    assert [wait(side, LONG) for _ in range(5)] == [True, True, True, False, False]


def test_a_slow_peer_with_a_quick_answer_now_and_then_has_nobody_loop(side: SpinPolicy) -> None:
    # As where episodes end: the reset comes at once, the steps slowly.
    episode = [SHORT, *[LONG] * 5]
    looked = [wait(side, seconds) for _ in range(20) for seconds in episode]
    assert sum(looked[6:]) == 0


def test_a_side_looks_again_once_some_waits_were_short(side: SpinPolicy) -> None:
    for _ in range(100):
        wait(side, LONG)
    assert [wait(side, SHORT) for _ in range(5)] == [False, False, False, True, True]


def test_a_side_looks_for_longer_where_that_is_long_enough(side: SpinPolicy) -> None:
    assert side.span < 6e-4
    wait(side, 6e-4)
    assert side.span > 6e-4
    assert all(wait(side, 6e-4) for _ in range(20))
    for _ in range(5):
        wait(side, LONG)
    assert side.span < 6e-4


def test_a_side_that_works_for_long_between_waits_sleeps_though_answers_are_quick(
    side: SpinPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, number = 0.0, 0
    monkeypatch.setattr(spin_policy, "perf_counter", lambda: now)
    monkeypatch.setattr(side, "in_crowd", lambda: False)

    def looks_after(work: float) -> bool:
        nonlocal now, number
        number += 1
        now += work
        looked = False

        def look() -> bool:
            nonlocal looked
            looked = True
            return True

        assert side.wait(number, look, lambda deadline: True, None)
        return looked

    assert [looks_after(LONG) for _ in range(5)] == [True, False, False, False, False]
    # Once messages come often, it looks again.
    assert [looks_after(SHORT) for _ in range(5)] == [False, False, False, True, True]
    # One that comes late is no reason to stop.
    assert [looks_after(work) for work in (LONG, SHORT, SHORT)] == [False, True, True]


def test_nobody_looks_where_that_is_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spin_policy, "SPINS", False)
    side = SpinPolicy()
    assert not any(wait(side, SHORT) for _ in range(10))


def yields(monkeypatch: pytest.MonkeyPatch, seconds: Iterable[float]) -> Callable[[], int]:
    """Has yields of the processor take so long, one after the other; counts them."""
    now, count, remaining = 0.0, 0, iter(seconds)

    def give_way() -> None:
        nonlocal now, count
        now += next(remaining)
        count += 1

    monkeypatch.setattr(spin_policy, "perf_counter", lambda: now)
    monkeypatch.setattr(os, "sched_yield", give_way)
    return lambda: count


ALONE, MOMENT, TURN = 1e-6, 40e-6, 3e-3


def test_one_long_yield_is_no_crowd(side: SpinPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    # A thread of the kernel had something to do, and later the hypervisor.
    yields(monkeypatch, [MOMENT, ALONE, TURN, MOMENT, ALONE])
    assert not side.in_crowd()
    assert not side.in_crowd()
    assert side.crowd == 0


def test_others_who_take_every_turn_are_a_crowd_for_longer_and_longer(
    side: SpinPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = yields(monkeypatch, [TURN] * 5)
    assert all(side.in_crowd() for _ in range(8 + 16 + 32))
    # Three yields to be sure at first, and one each time it is asked again.
    assert made() == 5


def test_a_crowd_that_has_gone_is_noticed_by_one_short_yield(
    side: SpinPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = yields(monkeypatch, [*[TURN] * 3, ALONE])
    assert [side.in_crowd() for _ in range(9)] == [True] * 8 + [False]
    assert (made(), side.crowd) == (4, 0)
