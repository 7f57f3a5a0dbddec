"""What is made of the turns: medians over rounds, and the bars."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from benchmarks.bars import BARS, Verdict, verdicts
from benchmarks.machine import Machine
from benchmarks.report import pages_block
from benchmarks.results import Run, Shares, Spread, Turns
from benchmarks.turns import Turn


def turn(p50: float = 10.0, rate: float = 1000.0, cpu: float = 0.0) -> Turn:
    return Turn(
        steps=100,
        stepping=100 / rate,
        wall=1.0,
        p50=p50,
        p99=2 * p50,
        client_cpu=cpu,
        server_cpu=cpu,
        client_memory=2**20,
        server_memory=2**20,
    )


def run(**turns: Mapping[str, Turns]) -> Run:
    named = {name.replace("_", "-"): dict(known) for name, known in turns.items()}
    return Run(Machine.here(), 1, 1.0, named)


def verdict(of: Run, text: str) -> Verdict:
    [found] = [verdict for verdict in verdicts(of) if verdict.bar.text.startswith(text)]
    return found


def test_a_spread_is_the_median_and_the_farthest_round() -> None:
    spread = Spread.of([10.0, 12.0, 4.0])
    assert (spread.median, spread.low, spread.high, spread.width) == (10.0, 4.0, 12.0, 0.6)


@pytest.mark.parametrize(("rate", "met"), [(6000.0, True), (5999.0, False)])
def test_a_bar_from_below(rate: float, met: bool) -> None:
    of = run(cartpole={"shm": (turn(rate=rate),), "async": (turn(rate=1000.0),)})
    assert verdict(of, "CartPole: how much faster shm is than AsyncVectorEnv").met is met


@pytest.mark.parametrize(("p50", "met"), [(30.0, True), (30.1, False)])
def test_a_bar_from_above(p50: float, met: bool) -> None:
    of = run(cartpole={"shm": (turn(p50),), "in-process": (turn(10.0),)})
    assert verdict(of, "CartPole: the p50 of shm,").met is met


def test_the_worst_workload_is_told() -> None:
    good = {"shm": (turn(rate=4000.0),), "async": (turn(rate=1000.0),)}
    bad = {"shm": (turn(rate=2000.0),), "async": (turn(rate=1000.0),)}
    found = verdict(run(image_84=good, image_224=bad), "84x84x3")
    assert found.where == "An image of 224x224x3"
    assert found.measured == Spread(2.0, 2.0, 2.0)
    assert not found.met


def test_a_ratio_is_taken_round_by_round() -> None:
    """Both were twice as slow in the second round."""
    of = run(
        cartpole={"shm": (turn(20.0), turn(40.0)), "in-process": (turn(10.0), turn(20.0))},
    )
    assert verdict(of, "CartPole: the p50 of shm,").measured == Spread(2.0, 2.0, 2.0)


def test_waiting_takes_what_a_step_takes_beyond_one_that_waits_for_nothing() -> None:
    of = run(cartpole={"shm": (turn(cpu=0.01),)}, slow_env={"shm": (turn(cpu=0.04),)})
    measured = verdict(of, "a 5 ms environment").measured
    assert measured is not None
    assert measured.median == pytest.approx(0.03)


def test_what_was_not_measured_meets_no_bar() -> None:
    assert [verdict.measured for verdict in verdicts(run())] == [None] * len(BARS)
    assert not any(verdict.met for verdict in verdicts(run()))


def test_a_run_is_the_same_after_json() -> None:
    of = run(cartpole={"shm": (turn(), turn())})
    of.absent["cartpole"] = {"ray": "ray is not installed"}
    of.crowd["on"] = (Shares(8.0, 0.5), Shares(9.0, 1.0))
    assert Run.from_json(of.to_json()) == of


def test_every_workload_has_a_table() -> None:
    block = pages_block(run(cartpole={"shm": (turn(),)}, slow_policy={"in-process": (turn(),)}))
    assert "### CartPole\n" in block
    assert "### A 5 ms policy\n" in block
