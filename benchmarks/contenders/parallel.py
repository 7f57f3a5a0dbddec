"""RLMesh's own vector environments of worker processes, without an address and behind one."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Generator
from typing import Any

import rlmesh
from benchmarks.contenders.driven import Driven, UnavailableError, driven_env
from benchmarks.peer import Announce, peer
from benchmarks.workloads import WORKLOADS, Workload


def copies(workload: Workload) -> contextlib.AbstractContextManager[Driven]:
    """What arrives belongs to the caller."""
    return _open(workload, copy=True)


def views(workload: Workload) -> contextlib.AbstractContextManager[Driven]:
    """What arrives is overwritten by the next step."""
    return _open(workload, copy=False)


@contextlib.contextmanager
def _open(workload: Workload, *, copy: bool) -> Generator[Driven]:
    with rlmesh.make_vec(workload.factories(), workers=workload.workers, copy=copy) as envs:
        yield driven_env(envs, workload)


@contextlib.contextmanager
def batches(workload: Workload) -> Generator[Driven]:
    """Without waiting for the slowest."""
    if not workload.batch_size:
        raise UnavailableError("all sub-environments are as fast")
    with rlmesh.make_vec(
        workload.factories(), workers=workload.workers, batch_size=workload.batch_size
    ) as envs:
        yield receiving(envs, workload)


def receiving(envs: Any, workload: Workload) -> Driven:
    """Takes as many batches a step as have one entry for each sub-environment."""
    actions = itertools.cycle(workload.actions())
    count = workload.num_envs // workload.batch_size

    def reset() -> None:
        envs.reset()
        envs.send(next(actions))

    def step() -> bool:
        for _ in range(count):
            infos = envs.recv()[-1]
            envs.send(next(actions)[: workload.batch_size], infos["env_id"])
        return False

    return Driven(step, reset)


@contextlib.contextmanager
def served(workload: Workload) -> Generator[Driven]:
    """Behind an address, over shared memory."""
    with (
        peer(serve, workload.key) as address,
        rlmesh.RemoteVectorEnv(address) as envs,
    ):
        yield driven_env(envs, workload)


def serve(announce: Announce, key: str) -> None:
    """The other process."""
    workload = WORKLOADS[key]
    server = rlmesh.EnvServer(workload.factories(), workers=workload.workers)
    announce(server.address)
    server.serve()
