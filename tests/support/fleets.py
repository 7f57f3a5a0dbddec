"""What tests of fleets need: local twins, and whether a server is still there."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np

ID = "CartPole-v1"
SHARE = {"CPU": 0.25}
"""What each server takes, so that many fit on a small machine."""
MOST_STEPS = 2000
"""Only a defect takes more steps until something that was lost is noticed."""


def local(count: int) -> gymnasium.vector.SyncVectorEnv:
    """As many environments in this process."""
    return gymnasium.vector.SyncVectorEnv([lambda: gymnasium.make(ID)] * count)


def is_running(pid: int) -> bool:
    """Whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def is_open(address: str) -> bool:
    """Whether something listens at a TCP address."""
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError:
        return False
    return True


def step_until_replaced(fleet: Any, lose: Callable[[], None], lost: list[int]) -> float:
    """Loses something in the middle of an epoch, and steps until what was lost is back.

    All other sub-environments step as local ones do, bit for bit; so do those that were lost, from
    the seeds on that the infos name.

    Returns:
        How many seconds the longest step took.
    """
    twin = local(fleet.num_envs)
    twin.action_space.seed(3)
    observations, _ = fleet.reset(seed=11)
    expected, _ = twin.reset(seed=11)
    assert (observations == expected).all()
    others = np.ones(fleet.num_envs, np.bool_)
    replaced: list[int] = []
    longest, since = 0.0, None
    for number in range(MOST_STEPS):
        if number == 10:
            lose()
        actions = twin.action_space.sample()
        began = time.monotonic()
        step = fleet.step(actions)
        longest = max(longest, time.monotonic() - began)
        wanted = twin.step(actions)
        mask = step[4].get("_rlmesh.env.replaced")
        if mask is not None and mask.any():
            since = number
            replaced += np.flatnonzero(mask).tolist()
            others[mask] = False
            assert step[3][mask].all()
            assert (step[1][mask] == 0).all()
            for index in np.flatnonzero(mask):
                seed = int(step[4]["rlmesh.env.seed"][index])
                first, _ = twin.envs[index].reset(seed=seed)
                assert (step[0][index] == first).all()
        for actual, right in zip(step[:4], wanted[:4], strict=True):
            assert (actual[others] == right[others]).all()
        if since is not None and number > since + 20 and sorted(replaced) == lost:
            break
    twin.close()
    assert sorted(replaced) == lost
    return longest
