"""Waiting for a server the way a supervisor does: by asking its health service."""

from __future__ import annotations

import contextlib
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2


def wait_until_serving(target: str, timeout: float = 20, certificate: str | None = None) -> None:
    """Returns when the server at a gRPC target answers SERVING.

    Args:
        target: `127.0.0.1:5555`, or `unix:/path`.
        timeout: Seconds until a `grpc.RpcError` is raised.
        certificate: The file of the server's certificate; None: it has none.
    """
    options = (("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 200))
    with contextlib.ExitStack() as stack:
        if certificate is None:
            channel = grpc.insecure_channel(target, options=options)
        else:
            trusted = grpc.ssl_channel_credentials(Path(certificate).read_bytes())
            channel = grpc.secure_channel(target, trusted, options=options)
        stack.enter_context(channel)
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        answer = check(health_pb2.HealthCheckRequest(), timeout=timeout, wait_for_ready=True)
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        raise AssertionError(f"{target} answers, but it does not serve: {answer}")
