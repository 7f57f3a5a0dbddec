"""Runs a served policy in served environments, each seed once; prints a line of JSON per episode.

python evaluate.py --envs file:/shared/servers --model tcp://127.0.0.1:5557 --seeds 100
"""

from __future__ import annotations

import argparse
import contextlib
import json
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np

import rlmesh


def main() -> None:
    """Evaluates as the command line says."""
    given = _arguments()
    index, shards = (int(part) for part in given.shard.split("/"))
    waiting = deque(range(index, given.seeds, shards))
    # A place where addresses stand, or one address.
    envs_at = given.envs if given.envs.startswith(("file:", "dns:")) else [given.envs]
    envs: Any = rlmesh.RemoteVectorEnv(
        envs_at, num_envs=given.num_envs, autoreset="disabled", **_connection(given.envs, given)
    )
    with (
        contextlib.closing(envs),
        rlmesh.RemoteModel(given.model, env=envs, **_connection(given.model, given)) as model,
    ):
        _run(envs, model, waiting)


def _connection(address: str, given: argparse.Namespace) -> dict[str, Any]:
    """How to connect: with the token and the authority, where that leaves this machine."""
    options: dict[str, Any] = {"connect_timeout_seconds": 60.0}
    if address.startswith(("tcp://127.0.0.1:", "unix:")):
        return options
    if given.token_file is not None:
        options["token"] = Path(given.token_file).read_text().strip()
    if given.tls_ca is not None:
        options["tls"] = rlmesh.ClientTLS(ca=given.tls_ca, server_name=given.tls_server_name)
    return options


def _run(envs: Any, model: Any, waiting: deque[int]) -> None:
    """Runs one episode for each seed that waits; a sub-environment that is free takes the next."""
    seeds: list[int | None] = [None] * envs.num_envs
    returns = np.zeros(envs.num_envs)
    lengths = np.zeros(envs.num_envs, int)
    observations: Any = None
    free = np.ones(envs.num_envs, bool)
    while True:
        begins = np.zeros(envs.num_envs, bool)
        for env_index in np.flatnonzero(free):
            seeds[env_index] = waiting.popleft() if waiting else None
            begins[env_index] = True
        if all(seed is None for seed in seeds):
            return
        if begins.any():
            observations, _ = envs.reset(seed=seeds, options={"reset_mask": begins})
            returns[begins], lengths[begins] = 0.0, 0
        observations, rewards, terminated, truncated, _ = envs.step(
            model.predict_batch(observations)
        )
        returns += rewards
        lengths += 1
        free = terminated | truncated
        for env_index in np.flatnonzero(free):
            if seeds[env_index] is not None:
                _report(seeds[env_index], returns[env_index], lengths[env_index])


def _report(seed: int | None, total: float, length: int) -> None:
    print(json.dumps({"seed": seed, "return": float(total), "length": int(length)}), flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--envs", required=True, help="an address, file:PATH or dns:NAME:PORT")
    parser.add_argument("--num-envs", type=int, help="wait for so many sub-environments")
    parser.add_argument("--model", required=True, help="the address of the model")
    parser.add_argument("--seeds", type=int, default=100, help="how many seeds, from 0 on")
    parser.add_argument("--shard", default="0/1", help="I/N: each N-th seed, from I on")
    parser.add_argument("--token-file", help="the file of the token")
    parser.add_argument("--tls-ca", help="the authority of the servers' certificates")
    parser.add_argument("--tls-server-name", help="the name in the servers' certificates")
    return parser.parse_args()


if __name__ == "__main__":
    main()
