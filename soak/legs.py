"""What a round does on one transport."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np

import rlmesh
from rlmesh.transports.pipe_transport import PipeTransport
from soak import serving
from soak.proxy import Proxy
from soak.results import Counts

# A session whose client left in a break is kept for a moment.
_PATIENCE = 30.0


class SoakError(Exception):
    """What came from the server is not what the local twin gave."""


@dataclass(frozen=True, slots=True)
class Leg:
    """One session of a round.

    Attributes:
        transport: The transport.
        vector: Whether it is with the vector environment.
        steps: How many steps, of 10,000 of the whole round.
    """

    transport: str
    vector: bool
    steps: int


LEGS = (
    Leg("shm", False, 5500),
    Leg("shm", True, 1500),
    Leg("direct", False, 1500),
    Leg("direct", True, 500),
    Leg("grpc", False, 800),
    Leg("grpc", True, 200),
)
"""A round; the shares follow from how fast the transports are."""

STEPS = sum(leg.steps for leg in LEGS)
"""The steps of a round."""


def run(leg: Leg, address: str, random: Random, cuts: int, counts: Counts) -> None:
    """Steps an environment and its twin, in a new session.

    Args:
        leg: The leg.
        address: The endpoint's address.
        random: Where the seeds, the actions and the places of the cuts come from.
        cuts: How often the connection is cut.
        counts: Counts what was done.

    Raises:
        SoakError: If the two differ.
    """
    client: Any = rlmesh.RemoteVectorEnv if leg.vector else rlmesh.RemoteEnv
    twin: Any = serving.vector() if leg.vector else serving.single()
    with (
        contextlib.closing(twin),
        Proxy(address) as proxy,
        contextlib.closing(
            client(proxy.address, transport=leg.transport, busy_timeout_seconds=_PATIENCE)
        ) as env,
    ):
        if env.transport != leg.transport:
            raise SoakError(f"the transport {leg.transport} was not to be had, but {env.transport}")
        places = {random.randrange(leg.steps) for _ in range(cuts)}
        _drive(env, twin, leg, random, dict.fromkeys(places, proxy), counts)
    counts.sessions += 1


def _drive(
    env: Any, twin: Any, leg: Leg, random: Random, places: dict[int, Proxy], counts: Counts
) -> None:
    over, choose = True, _chooser(leg, random)
    for step in range(leg.steps):
        if over:
            seed = random.randrange(2**31)
            _compare(env.reset(seed=seed), twin.reset(seed=seed))
            counts.resets += 1
        if step in places:
            _cut(env._env_client._call_client._transport, places[step])
            counts.cuts += 1
        action = choose()
        here, there = env.step(action), twin.step(action)
        _compare(here, there)
        # The sub-environments of a vector reset themselves.
        over = not leg.vector and (here[2] or here[3])
        counts.steps += 1


def _chooser(leg: Leg, random: Random) -> Callable[[], Any]:
    if not leg.vector:
        return lambda: random.getrandbits(1)
    return lambda: np.array([random.getrandbits(1) for _ in range(serving.TRANSPORTS)])


def _compare(here: tuple[Any, ...], there: tuple[Any, ...]) -> None:
    for one, other in zip(here[:-1], there[:-1], strict=True):
        if not np.array_equal(one, other):
            raise SoakError(f"the server gave {one!r}, and the local twin {other!r}")


def _cut(transport: object, proxy: Proxy) -> None:
    """Cuts what a client calls by, as a broken network does: neither side is informed."""
    if isinstance(transport, PipeTransport):
        # Past the proxy, which the session's stream alone goes through.
        transport._pipe.close()
    proxy.cut()
