"""RLMesh: a server in another process, and a client on each of the transports."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Generator
from typing import Any, Literal

import rlmesh
from benchmarks.contenders.driven import Driven, UnavailableError, driven_env
from benchmarks.peer import Announce, peer
from benchmarks.workloads import WORKLOADS, Workload

# What a server is asked for to have a transport that it does not offer by itself.
_SERVER_OPTIONS: dict[str, dict[str, Any]] = {"direct": {"direct": "tcp://127.0.0.1:0"}}


def shm(workload: Workload) -> contextlib.AbstractContextManager[Driven]:
    """Shared memory; what arrives belongs to the caller."""
    return _transport(workload, "shm")


def shm_views(workload: Workload) -> contextlib.AbstractContextManager[Driven]:
    """Shared memory; what arrives is a view that holds until the next call."""
    return _transport(workload, "shm", copy=False)


def isolated(workload: Workload) -> contextlib.AbstractContextManager[Driven]:
    """Shared memory with the worker process of an isolated environment."""
    return _transport(workload, "shm", serve_isolated)


def grpc_transport(workload: Workload) -> contextlib.AbstractContextManager[Driven]:
    """The gRPC stream, over TCP."""
    return _transport(workload, "grpc")


def direct(workload: Workload) -> contextlib.AbstractContextManager[Driven]:
    """Plain frames over TCP."""
    return _transport(workload, "direct")


@contextlib.contextmanager
def _transport(
    workload: Workload,
    transport: Literal["shm", "direct", "grpc"],
    serve_it: Callable[[Announce, str, str], None] | None = None,
    **options: Any,
) -> Generator[Driven]:
    client: Callable[..., Any] = rlmesh.RemoteVectorEnv if workload.num_envs else rlmesh.RemoteEnv
    _require(client, options)
    _require(rlmesh.EnvServer, _SERVER_OPTIONS.get(transport, {}))
    with (
        peer(serve_it or serve, workload.key, transport) as address,
        contextlib.closing(client(address, transport=transport, **options)) as env,
    ):
        if env.transport != transport:
            raise UnavailableError(f"asked for the transport {transport}, got {env.transport}")
        yield driven_env(env, workload)


def serve(announce: Announce, workload: str, transport: str) -> None:
    """The other process."""
    env = WORKLOADS[workload].make()
    server = rlmesh.EnvServer(env, **_SERVER_OPTIONS.get(transport, {}))
    announce(server.address)
    server.serve()


def serve_isolated(announce: Announce, workload: str, transport: str) -> None:
    """The other process, and a worker of its own for the environment."""
    server = rlmesh.EnvServer(WORKLOADS[workload].make, isolation="process")
    announce(server.address)
    server.serve()


def _require(callable_: Callable[..., Any], options: dict[str, Any]) -> None:
    for name in options:
        if name not in inspect.signature(callable_).parameters:
            raise UnavailableError(f"rlmesh.{callable_.__name__} has no argument {name} yet")
