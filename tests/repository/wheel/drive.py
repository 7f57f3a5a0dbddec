"""Drives CartPole-v1, single and as a vector, in another process, beside the same one here."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import gymnasium as gym
import numpy as np

import rlmesh

STEPS = 50


@contextlib.contextmanager
def served(*arguments: str) -> Generator[str]:
    command = [sys.executable, "-W", "error", str(Path(__file__).with_name("serve.py")), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            yield server.stdout.readline().strip()
        finally:
            server.terminate()
    assert server.returncode == 0, f"the server ended with exit code {server.returncode}"


with served() as address, rlmesh.RemoteEnv(address) as remote, gym.make("CartPole-v1") as local:
    local.action_space.seed(7)
    np.testing.assert_equal(remote.reset(seed=7), local.reset(seed=7))
    for _ in range(STEPS):
        action = local.action_space.sample()
        theirs, ours = remote.step(action), local.step(action)
        np.testing.assert_equal(theirs, ours)
        if ours[2] or ours[3]:
            np.testing.assert_equal(remote.reset(), local.reset())

with served("vector") as address:
    remote_vector, local_vector = rlmesh.RemoteVectorEnv(address), gym.make_vec("CartPole-v1", 3)
    local_vector.action_space.seed(7)
    np.testing.assert_equal(remote_vector.reset(seed=7), local_vector.reset(seed=7))
    for _ in range(STEPS):
        actions = local_vector.action_space.sample()
        np.testing.assert_equal(remote_vector.step(actions), local_vector.step(actions))
    remote_vector.close()
    local_vector.close()
