"""Serves CartPole-v1, single or as a vector, and prints the address."""

from __future__ import annotations

import sys

import gymnasium as gym

import rlmesh

env = gym.make_vec("CartPole-v1", 3) if sys.argv[1:] == ["vector"] else gym.make("CartPole-v1")
server = rlmesh.EnvServer(env)
print(server.address, flush=True)  # noqa: T201  the parent reads it
server.serve()
