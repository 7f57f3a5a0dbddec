"""Whatever is killed or cut at random: the right trajectory, or a typed error and a fresh start.

`RLMESH_CHAOS_SEEDS=200` runs as many seeds, from one that it prints; see `make chaos`.
"""

from __future__ import annotations

import os
import time

import pytest

from support.killing import leaving_nothing, play

_MANY = int(os.environ.get("RLMESH_CHAOS_SEEDS", "0"))
_FIRST = int(os.environ.get("RLMESH_CHAOS_FIRST", "0")) or time.time_ns() // 10**9
_TRANSPORTS = ("shm", "direct", "grpc")
# A few that are the same every time; or many that are not.
SEEDS = range(_FIRST, _FIRST + _MANY) if _MANY else range(3)
_DEEDS = 20 if _MANY else 4


@pytest.mark.parametrize("seed", SEEDS)
def test_a_client_goes_on_or_starts_anew_whatever_is_killed_or_cut(seed: int) -> None:
    # A map of shared memory lives as long as a name holds it.
    with leaving_nothing():
        play(seed, _TRANSPORTS[seed % len(_TRANSPORTS)], _DEEDS)
