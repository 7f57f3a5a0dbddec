"""Serve several clients at once, each with its own environment.

    python several_clients.py

A callable makes an environment for each client. Here the clients are worker processes.
"""

from __future__ import annotations

import multiprocessing

import gymnasium as gym

import rlmesh

CLIENTS = 3


def play(address: str, seed: int) -> str:
    """Plays one episode and reports it; runs in a worker process."""
    steps = 0
    with rlmesh.RemoteEnv(address) as env:
        env.action_space.seed(seed)
        env.reset(seed=seed)
        done = False
        while not done:
            _, _, terminated, truncated, _ = env.step(env.action_space.sample())
            steps, done = steps + 1, terminated or truncated
    return f"client {seed} played {steps} steps"


if __name__ == "__main__":
    server = rlmesh.EnvServer(lambda: gym.make("CartPole-v1"), sessions=CLIENTS)
    # Spawn, because a fork of a process that uses gRPC does not work.
    workers = multiprocessing.get_context("spawn").Pool(CLIENTS)
    with server, workers:
        for line in workers.starmap(play, [(server.address, seed) for seed in range(CLIENTS)]):
            print(line)
