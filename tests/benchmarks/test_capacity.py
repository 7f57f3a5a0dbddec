"""What the page on capacity says follows from what was measured."""

from __future__ import annotations

import pytest

from benchmarks.capacity.measuring import FLEETS, OBSERVATIONS, TRANSPORTS, Measured
from benchmarks.capacity.model import Costs, costs_of, most_steps, needed, simulate
from benchmarks.capacity.page import PAGE, RESULTS, block, from_json, to_json
from benchmarks.publishing import with_block

MACHINE, MEASURED = from_json(RESULTS.read_text())
COSTS = Costs(client_seconds=1e-4, server_seconds=2e-4, nbytes=1000, waiting_seconds=1e-3)


def test_the_page_shows_what_was_measured() -> None:
    assert PAGE.read_text() == with_block(PAGE.read_text(), block(MACHINE, MEASURED))
    assert to_json(MACHINE, MEASURED) == RESULTS.read_text()


@pytest.mark.parametrize("observation", OBSERVATIONS)
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_simulation_says_what_was_measured(observation: str, transport: str) -> None:
    costs = costs_of(MEASURED, observation, transport)
    measured = {
        each.envs: 1 / each.seconds
        for each in MEASURED
        if (each.observation, each.transport) == (observation, transport)
    }
    ratios = {envs: simulate(costs, envs, servers=1) / measured[envs] for envs in FLEETS[-2:]}
    # As the page says: the costs are those of the largest fleet.
    assert 0.7 < ratios[FLEETS[-1]] < 1.4, ratios
    assert 0.5 < ratios[FLEETS[-2]] < 1.7, ratios


def test_one_environment_costs_both_sides_and_the_wait() -> None:
    assert simulate(COSTS, 1, servers=1) == pytest.approx(1 / (1e-4 + 2e-4 + 1e-3))


def test_with_few_servers_these_are_the_bound() -> None:
    assert simulate(COSTS, 1000, servers=1) == pytest.approx(1 / 2e-4, rel=0.1)


def test_with_many_servers_the_trainer_is_the_bound() -> None:
    assert simulate(COSTS, 1000, servers=100) == pytest.approx(most_steps(COSTS), rel=0.05)


def test_on_a_slow_line_the_line_is_the_bound() -> None:
    rate = simulate(COSTS, 1000, servers=100, gbit_per_second=0.008)
    assert rate == pytest.approx(1000, rel=0.1)


def test_a_slow_environment_needs_more_cores_of_servers() -> None:
    need = needed(COSTS, 100_000, env_seconds=1e-3)
    assert need.server_cores == pytest.approx(120)
    assert need.trainers == 10
    assert need.gbit_per_second == pytest.approx(0.8)


def test_one_fleet_alone_gives_no_costs() -> None:
    alone = [Measured("cartpole", "shm", 1, 1e-4, 1e-5, 1e-5, 82)]
    with pytest.raises(ValueError, match="two fleets are needed"):
        costs_of(alone, "cartpole", "shm")
