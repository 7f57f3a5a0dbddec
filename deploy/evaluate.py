"""Runs a served policy in served environments, each seed once; prints a line of JSON per episode.

python evaluate.py --envs file:/shared/servers --model tcp://127.0.0.1:5557 --seeds 100
"""

from __future__ import annotations

import argparse
import contextlib
import json
from functools import partial
from pathlib import Path
from typing import Any

import rlmesh
from rlmesh.evaluation import Episode


def main() -> None:
    """Evaluates as the command line says."""
    given = _arguments()
    index, shards = (int(part) for part in given.shard.split("/"))
    # A place where addresses stand, or one address.
    envs_at = given.envs if given.envs.startswith(("file:", "dns:")) else [given.envs]
    envs: Any = rlmesh.RemoteVectorEnv(
        envs_at, num_envs=given.num_envs, autoreset="disabled", **_connection(given.envs, given)
    )
    # Each sub-environment has its own session of the model.
    policy = partial(rlmesh.RemoteModel, given.model, **_connection(given.model, given))
    with contextlib.closing(envs):
        rlmesh.evaluate(policy, envs, seeds=range(index, given.seeds, shards), on_episode=_report)


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


def _report(episode: Episode) -> None:
    found = {
        "seed": episode.seed,
        "return": episode.total_reward,
        "length": episode.length,
        "success": episode.success,
        "error": episode.error,
    }
    print(json.dumps(found), flush=True)


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
