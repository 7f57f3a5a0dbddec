"""Every contender by name, with the group that it belongs to and how it is set up.

A contender's code is imported in its own driver only, so that none pays for another's libraries.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

from benchmarks.contenders.driven import Driven
from benchmarks.workloads import Workload

Group = Literal["local", "rlmesh", "other", "floor"]
Open = Callable[[Workload], AbstractContextManager[Driven]]


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to have a step made.

    Attributes:
        key: Its name on the command line.
        title: Its name on the page.
        group: What it is compared as.
        where: `module:function` of the context that opens it.
        setup: How it is set up, for the page.
        environment: Whether an environment is stepped in it.
        workers: Whether it has worker processes for sub-environments: it takes part in the
            workloads of those alone.
    """

    key: str
    title: str
    group: Group
    where: str
    setup: str
    environment: bool = True
    workers: bool = False

    def takes(self, workload: Workload) -> bool:
        """Whether it takes part in a workload."""
        return bool(workload.workers) == self.workers or self.key in _EVERYWHERE

    def load(self) -> Open:
        """The context that opens it, for a workload."""
        module, _, function = self.where.partition(":")
        found: Open = getattr(importlib.import_module(f"benchmarks.contenders.{module}"), function)
        return found


# What steps sub-environments with workers and without.
_EVERYWHERE = ("in-process", "async", "async-views")

CONTENDERS = {
    contender.key: contender
    for contender in (
        Contender(
            "in-process",
            "in-process",
            "local",
            "in_process:open_it",
            "the environment itself; for a vector, Gymnasium's `SyncVectorEnv`",
        ),
        Contender(
            "shm",
            "RLMesh, shm",
            "rlmesh",
            "transports:shm",
            "`RemoteEnv(address)`, which chooses shared memory by itself; observations are copies",
        ),
        Contender(
            "shm-views",
            "RLMesh, shm, copy=False",
            "rlmesh",
            "transports:shm_views",
            "`RemoteEnv(address, copy=False)`: read-only views",
        ),
        Contender(
            "isolated",
            "RLMesh, shm, isolated",
            "rlmesh",
            "transports:isolated",
            '`EnvServer(factory, isolation="process")`: the environment in a worker process',
        ),
        Contender(
            "grpc",
            "RLMesh, grpc",
            "rlmesh",
            "transports:grpc_transport",
            '`RemoteEnv(address, transport="grpc")` over TCP',
        ),
        Contender(
            "direct",
            "RLMesh, direct",
            "rlmesh",
            "transports:direct",
            '`RemoteEnv(address, transport="direct")` over TCP',
        ),
        Contender(
            "async",
            "AsyncVectorEnv",
            "other",
            "async_vector:copies",
            "Gymnasium's, with `shared_memory=True, copy=True`, one process for each environment",
        ),
        Contender(
            "async-views",
            "AsyncVectorEnv, copy=False",
            "other",
            "async_vector:views",
            "the same, with views of the shared memory",
        ),
        Contender(
            "puffer-one",
            "PufferLib, one worker",
            "other",
            "puffer:alone",
            "PufferLib 1.0.1's `Multiprocessing`; the worker waits in a loop, observations are "
            "views, and nothing is checked. Its source distribution and a few of its dependencies "
            "are installed with pip's `--no-deps`",
        ),
        Contender(
            "zmq-tcp",
            "pyzmq and msgpack, TCP",
            "other",
            "zeromq:tcp",
            "REQ/REP; arrays from 16 KiB are separate frames, sent and received without a "
            "copy, smaller ones stand in the msgpack message",
        ),
        Contender(
            "zmq-ipc",
            "pyzmq and msgpack, IPC",
            "other",
            "zeromq:ipc",
            "the same over a Unix socket",
        ),
        Contender(
            "websockets",
            "websockets and msgpack",
            "other",
            "websocket:open_it",
            "the threaded client and server over TCP, without compression",
        ),
        Contender(
            "dm-env-rpc",
            "dm-env-rpc",
            "other",
            "dm_rpc:open_it",
            "`DmEnvAdaptor` over TCP; every leaf of an observation or an info is a tensor",
        ),
        Contender(
            "ray",
            "Ray actor",
            "other",
            "ray_actor:open_it",
            "`ray.get(actor.step.remote(action))` on one machine; the server's figures cover Ray's "
            "own daemons",
        ),
        Contender(
            "floor-spin",
            "floor: spinning shared memory",
            "floor",
            "shared_memory:open_it",
            "both sides look at a counter in a loop; one copy in, one copy out; no environment",
            environment=False,
        ),
        Contender(
            "floor-unix",
            "floor: Unix socket",
            "floor",
            "sockets:unix",
            "blocking `sendall` and `recv_into` on both sides; no environment",
            environment=False,
        ),
        Contender(
            "floor-tcp",
            "floor: TCP socket",
            "floor",
            "sockets:tcp",
            "the same over TCP, with TCP_NODELAY; no environment",
            environment=False,
        ),
        Contender(
            "grpcio-stream",
            "floor: grpcio stream",
            "floor",
            "bare_grpc:stream",
            "the bytes of observations over one stream, TCP, each put into its message; nothing is "
            "checked or decoded",
        ),
        Contender(
            "grpcio-unary",
            "floor: grpcio unary",
            "floor",
            "bare_grpc:unary",
            "the same, with a call for each step",
        ),
        Contender(
            "make-vec",
            "RLMesh, make_vec",
            "rlmesh",
            "parallel:copies",
            "`rlmesh.make_vec(factories, workers=...)`; observations are copies",
            workers=True,
        ),
        Contender(
            "make-vec-views",
            "RLMesh, make_vec, copy=False",
            "rlmesh",
            "parallel:views",
            "the same with `copy=False`: read-only views",
            workers=True,
        ),
        Contender(
            "make-vec-recv",
            "RLMesh, make_vec, send and recv",
            "rlmesh",
            "parallel:batches",
            "the same with `batch_size=`; a step is as many batches as have one entry for each "
            "sub-environment",
            workers=True,
        ),
        Contender(
            "served-workers",
            "RLMesh, shm, workers",
            "rlmesh",
            "parallel:served",
            "`RemoteVectorEnv(address)` of an `EnvServer(factories, workers=...)` in another "
            "process",
            workers=True,
        ),
        Contender(
            "subproc",
            "SubprocVecEnv",
            "other",
            "subproc:open_it",
            "Stable-Baselines3's, one process for each environment",
            workers=True,
        ),
        Contender(
            "puffer",
            "PufferLib",
            "other",
            "puffer:waiting",
            "its `Multiprocessing` with as many workers; they wait in a loop",
            workers=True,
        ),
        Contender(
            "puffer-recv",
            "PufferLib, send and recv",
            "other",
            "puffer:batches",
            "the same with its `batch_size=`",
            workers=True,
        ),
        Contender(
            "envpool",
            "EnvPool",
            "other",
            "pooled:open_it",
            "its own environments in C++, on as many threads: the bound",
            workers=True,
        ),
    )
}
