"""Health, status and signals of a server, as a test asks for them."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from rlmesh.address import parse_address
from rlmesh_api.v1 import env_service_pb2, env_service_pb2_grpc

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


@contextlib.contextmanager
def channel_to(address: str) -> Generator[grpc.Channel]:
    """A bare channel of gRPC."""
    with grpc.insecure_channel(parse_address(address).dial_target) as channel:
        yield channel


def status_of(address: str) -> env_service_pb2.GetStatusResponse:
    """What a server says that it and its sessions are doing."""
    with channel_to(address) as channel:
        stub = env_service_pb2_grpc.EnvServiceStub(channel)
        answer: env_service_pb2.GetStatusResponse = stub.GetStatus(
            env_service_pb2.GetStatusRequest(), timeout=20
        )
        return answer


def status_when(
    address: str, met: Callable[[env_service_pb2.GetStatusResponse], bool]
) -> env_service_pb2.GetStatusResponse:
    """The status as soon as something holds of it: a server notes much after its answer."""
    pause = threading.Event()
    until = time.monotonic() + 20
    while not met(told := status_of(address)):
        assert time.monotonic() < until, f"not met by {told}"
        pause.wait(0.01)
    return told


def health_stub(channel: grpc.Channel) -> Any:
    """The published stub of the health service, whose own types declare no methods."""
    return health_pb2_grpc.HealthStub(channel)


def reflect(address: str, *requests: reflection_pb2.ServerReflectionRequest) -> list[Any]:
    """What reflection answers."""
    with channel_to(address) as channel:
        # Its published types declare no methods either.
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
        return list(stub.ServerReflectionInfo(iter(requests), timeout=20))


def check_health(address: str, service: str = "") -> int:
    """What health says now; raises `grpc.RpcError` for a service that it does not know."""
    with channel_to(address) as channel:
        answer = health_stub(channel).Check(
            health_pb2.HealthCheckRequest(service=service), timeout=20
        )
        return int(answer.status)


@contextlib.contextmanager
def watching_health(address: str, service: str = "") -> Generator[Iterator[int]]:
    """What health says, whenever it says something new; ends when the server does."""
    with channel_to(address) as channel:
        request = health_pb2.HealthCheckRequest(service=service)
        stream = health_stub(channel).Watch(request, timeout=60)

        def statuses() -> Iterator[int]:
            with contextlib.suppress(grpc.RpcError):
                for answer in stream:
                    yield answer.status

        yield statuses()
        stream.cancel()


def wait_until_draining(address: str) -> None:
    """Returns as soon as health says NOT_SERVING, or the server is gone."""
    with watching_health(address) as statuses:
        for status in statuses:
            if status == NOT_SERVING:
                return
