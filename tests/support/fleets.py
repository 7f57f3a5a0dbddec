"""What tests of fleets need: local twins, and whether a server is still there."""

from __future__ import annotations

import os
import socket

import gymnasium

ID = "CartPole-v1"
SHARE = {"CPU": 0.25}
"""What each server takes, so that many fit on a small machine."""


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
