"""What more environments need than were measured: a model of costs, and a simulation of a fleet.

The model has three numbers for an observation on a transport: the seconds of a client's processor
for a step of one environment, the seconds of a server's processor, and the bytes. They are those of
the largest fleet that was measured, as a small one waits more than it works.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.capacity.measuring import Measured


@dataclass(frozen=True)
class Costs:
    """What a step of one environment costs.

    Attributes:
        client_seconds: Seconds of a client's processor.
        server_seconds: Seconds of a server's processor, without the environment's own work.
        nbytes: Bytes on the line, both directions.
        waiting_seconds: Seconds until an answer is there where both sides are idle.
    """

    client_seconds: float
    server_seconds: float
    nbytes: int
    waiting_seconds: float


@dataclass(frozen=True)
class Needed:
    """What a number of steps a second needs.

    Attributes:
        server_cores: Processors of servers.
        trainers: Processes that step; each uses one processor.
        gbit_per_second: Of the network.
    """

    server_cores: float
    trainers: int
    gbit_per_second: float


def costs_of(measured: Sequence[Measured], observation: str, transport: str) -> Costs:
    """The costs of a step, from the fleets that were measured.

    Raises:
        ValueError: If less than two fleets were measured.
    """
    fleets = sorted(
        (
            each
            for each in measured
            if (each.observation, each.transport) == (observation, transport)
        ),
        key=lambda each: each.envs,
    )
    if len(fleets) < 2:
        raise ValueError(f"{observation} over {transport}: two fleets are needed")
    large = fleets[-1]
    return Costs(
        client_seconds=large.client_seconds,
        server_seconds=large.server_seconds,
        nbytes=large.nbytes,
        waiting_seconds=max(0.0, fleets[0].seconds - large.client_seconds - large.server_seconds),
    )


def needed(costs: Costs, steps_per_second: float, env_seconds: float = 0.0) -> Needed:
    """What so many steps a second need.

    Args:
        costs: The costs of a step.
        steps_per_second: Of all environments together.
        env_seconds: Seconds of a processor that the environment itself needs for a step.
    """
    return Needed(
        server_cores=steps_per_second * (costs.server_seconds + env_seconds),
        trainers=max(1, math.ceil(steps_per_second * costs.client_seconds)),
        gbit_per_second=steps_per_second * costs.nbytes * 8 / 1e9,
    )


def most_steps(costs: Costs) -> float:
    """The steps a second that one trainer cannot exceed, however many servers there are."""
    return 1 / costs.client_seconds


def simulate(
    costs: Costs,
    envs: int,
    *,
    servers: int,
    env_seconds: float = 0.0,
    gbit_per_second: float = math.inf,
    rounds: int = 3,
) -> float:
    """The steps a second of one trainer that steps all environments together, again and again.

    The trainer posts one request after the other, then takes one answer after the other. A server
    has one processor and answers in the order in which requests come; the environments are spread
    over the servers evenly. The line carries one message after the other.

    Args:
        costs: The costs of a step.
        envs: How many environments.
        servers: How many servers.
        env_seconds: Seconds that the environment itself needs for a step.
        gbit_per_second: Of the trainer's line.
        rounds: How many steps of the fleet are simulated.
    """
    half = costs.client_seconds / 2
    work = costs.server_seconds + env_seconds
    on_the_line = costs.nbytes * 8 / (gbit_per_second * 1e9)
    free = [0.0] * servers
    now = line = 0.0
    for _ in range(rounds):
        answers: list[float] = []
        for index in range(envs):
            now += half
            server = index % servers
            free[server] = max(free[server], now + costs.waiting_seconds / 2) + work
            line = max(line, free[server]) + on_the_line
            answers.append(line + costs.waiting_seconds / 2)
        for answer in answers:
            now = max(now, answer) + half
    return rounds * envs / now
