"""Standard probes of gRPC's health service, in Python, with their options and exit codes."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import descriptor_pool, json_format
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from support.watching import SERVING, health_stub

SECONDS = 20


def kubelet_probe(probe: dict[str, dict[str, int | str]], ports: dict[int, int]) -> bool:
    """What the kubelet does for a `grpc` probe: one Check in plaintext, without a token."""
    asked = probe["grpc"]
    target = f"127.0.0.1:{ports[int(asked['port'])]}"
    with grpc.insecure_channel(target) as channel:
        return _check(channel, str(asked.get("service", "")))


def grpc_health_probe(line: str) -> int:
    """The exit code of a command line of grpc_health_probe, 0.4: 0, 2, 3 or 4."""
    parser = argparse.ArgumentParser(prog="grpc_health_probe", exit_on_error=False)
    parser.add_argument("-addr", required=True)
    parser.add_argument("-service", default="")
    parser.add_argument("-tls", action="store_true")
    parser.add_argument("-tls-ca-cert")
    parser.add_argument("-tls-client-cert")
    parser.add_argument("-tls-client-key")
    parser.add_argument("-tls-server-name")
    program, *arguments = shlex.split(line)
    assert program == "grpc_health_probe"
    given = parser.parse_args(arguments)
    options = []
    if given.tls_server_name:
        options.append(("grpc.ssl_target_name_override", given.tls_server_name))
    if given.tls:
        credentials = grpc.ssl_channel_credentials(
            _read(given.tls_ca_cert), _read(given.tls_client_key), _read(given.tls_client_cert)
        )
        channel = grpc.secure_channel(given.addr, credentials, options)
    else:
        channel = grpc.insecure_channel(given.addr)
    with channel:
        try:
            return 0 if _check(channel, given.service) else 4
        except grpc.RpcError as error:
            code = getattr(error, "code", lambda: None)()
            return 2 if code is grpc.StatusCode.UNAVAILABLE else 3


def grpcurl(line: str) -> dict[str, Any]:
    """What a command line of grpcurl prints: it asks reflection for the method, and calls it."""
    parser = argparse.ArgumentParser(prog="grpcurl", exit_on_error=False)
    parser.add_argument("-plaintext", action="store_true")
    parser.add_argument("-cacert")
    parser.add_argument("-H", dest="header")
    parser.add_argument("address")
    parser.add_argument("method")
    program, *arguments = shlex.split(line)
    assert program == "grpcurl"
    given = parser.parse_args(arguments)
    assert given.plaintext is (given.cacert is None)
    metadata: tuple[tuple[str, str], ...] | None = None
    if given.header is not None:
        key, _, value = given.header.partition(": ")
        metadata = ((key, value),)
    channel = (
        grpc.insecure_channel(given.address)
        if given.plaintext
        else grpc.secure_channel(given.address, grpc.ssl_channel_credentials(_read(given.cacert)))
    )
    service, _, method = given.method.partition("/")
    request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=service)
    with channel:
        # Its published types declare no methods.
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
        [answer] = stub.ServerReflectionInfo(iter([request]), timeout=SECONDS, metadata=metadata)
        pool = descriptor_pool.DescriptorPool()
        for each in answer.file_descriptor_response.file_descriptor_proto:
            pool.AddSerializedFile(each)
        called = pool.FindServiceByName(service).methods_by_name[method]
        call = channel.unary_unary(
            f"/{given.method}",
            request_serializer=GetMessageClass(called.input_type).SerializeToString,
            response_deserializer=GetMessageClass(called.output_type).FromString,
        )
        response = call(GetMessageClass(called.input_type)(), timeout=SECONDS, metadata=metadata)
        printed: dict[str, Any] = json_format.MessageToDict(response)
        return printed


def _check(channel: grpc.Channel, service: str) -> bool:
    answer = health_stub(channel).Check(
        health_pb2.HealthCheckRequest(service=service), timeout=SECONDS
    )
    return bool(answer.status == SERVING)


def _read(path: str | None) -> bytes | None:
    return None if path is None else Path(path).read_bytes()
