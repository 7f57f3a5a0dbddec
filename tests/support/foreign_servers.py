"""gRPC servers that are no servers of RLMesh."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc


@contextlib.contextmanager
def health_only() -> Generator[str]:
    """A server that is healthy and does nothing else; gives its address."""
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool)
        servicer = health.HealthServicer()
        servicer.set("", health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"tcp://127.0.0.1:{port}"
        finally:
            server.stop(0).wait()
