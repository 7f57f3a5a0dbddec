"""The standard health service and reflection, as `grpc-health-probe` and grpcurl use them."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Generator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

import rlmesh
from rlmesh.client.probing import fetch_status
from rlmesh.errors import EndpointDrainingError
from support.sample_envs import Gate, ScriptedEnv
from support.serving import serving
from support.watching import (
    NOT_SERVING,
    SERVICE_UNKNOWN,
    SERVING,
    channel_to,
    check_health,
    health_stub,
    reflect,
    watching_health,
)

SOON = 20.0
SERVICES = [
    "",
    "rlmesh_api.v1.EnvService",
    "grpc.health.v1.Health",
    "grpc.reflection.v1alpha.ServerReflection",
]


@contextlib.contextmanager
def draining() -> Generator[tuple[rlmesh.EnvServer, Gate]]:
    """A server that drains: its environment is in a step until the gate opens."""
    env, gate = ScriptedEnv(), Gate()
    with (
        serving(env) as server,
        contextlib.closing(rlmesh.RemoteEnv[Any, Any](server.address)) as client,
    ):
        client.reset()
        env.script["step"] = gate.wait
        answers: list[Any] = []
        action = client.action_space.sample()
        stepping = threading.Thread(target=lambda: answers.append(client.step(action)))
        stepping.start()
        ending = threading.Thread(target=server.shutdown)
        try:
            assert gate.reached.wait(SOON)
            with watching_health(server.address) as statuses:
                assert next(statuses) == SERVING
                ending.start()
                assert next(statuses) == NOT_SERVING
            yield server, gate
        finally:
            gate.open()
            stepping.join(SOON)
            ending.join(SOON)
        assert len(answers) == 1


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_is_serving_once_calls_are_answered(service: str) -> None:
    with serving(ScriptedEnv()) as server:
        assert check_health(server.address, service) == SERVING


def test_every_service_that_reflection_lists_has_a_health() -> None:
    with serving(ScriptedEnv()) as server:
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        (answer,) = reflect(server.address, request)
    listed = {service.name for service in answer.list_services_response.service}
    assert listed == {name for name in SERVICES if name}


def test_reflection_describes_the_service_down_to_its_messages() -> None:
    requests = [
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol)
        for symbol in ("rlmesh_api.v1.EnvService", "rlmesh_api.v1.SessionRequest", "nothing")
    ]
    with serving(ScriptedEnv()) as server:
        answers = reflect(server.address, *requests)
    known = [bool(answer.file_descriptor_response.file_descriptor_proto) for answer in answers]
    assert known == [True, True, False]
    assert answers[2].error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


@pytest.mark.parametrize("service", ["other", "rlmesh_api.v1", "EnvService"])
def test_a_service_that_nobody_knows_is_not_found(service: str) -> None:
    with serving(ScriptedEnv()) as server:
        with pytest.raises(grpc.RpcError) as caught:
            check_health(server.address, service)
    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_a_watch_of_a_service_that_nobody_knows_says_so_and_stays() -> None:
    with serving(ScriptedEnv()) as server, watching_health(server.address, "other") as statuses:
        assert next(statuses) == SERVICE_UNKNOWN


def test_a_server_that_is_bound_and_not_started_answers_nothing() -> None:
    server = rlmesh.EnvServer(ScriptedEnv())
    try:
        with channel_to(server.address) as channel, pytest.raises(grpc.RpcError) as caught:
            health_stub(channel).Check(
                health_pb2.HealthCheckRequest(), timeout=0.3, wait_for_ready=True
            )
        assert isinstance(caught.value, grpc.Call)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    finally:
        server.shutdown()


@pytest.mark.parametrize("begin", ["start", "serve"])
def test_what_says_serving_answers_calls(begin: str) -> None:
    for _ in range(5):
        server = rlmesh.EnvServer(ScriptedEnv())
        serve = threading.Thread(target=getattr(server, begin))
        serve.start()
        try:
            with channel_to(server.address) as channel:
                stub = health_stub(channel)
                request = health_pb2.HealthCheckRequest()
                while stub.Check(request, timeout=SOON, wait_for_ready=True).status != SERVING:
                    pass
                with contextlib.closing(
                    rlmesh.RemoteEnv[Any, Any](server.address, request_timeout_seconds=SOON)
                ) as client:
                    client.reset()
        finally:
            server.shutdown()
            serve.join(SOON)


@pytest.mark.parametrize("service", SERVICES)
def test_a_watch_hears_of_the_drain_and_then_of_the_end(service: str) -> None:
    with serving(ScriptedEnv()) as server, watching_health(server.address, service) as statuses:
        assert next(statuses) == SERVING
        ending = threading.Thread(target=server.shutdown)
        ending.start()
        assert list(statuses) == [NOT_SERVING]
        ending.join(SOON)


def test_everybody_who_watches_hears_of_the_drain() -> None:
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(serving(ScriptedEnv()))
        watches = [stack.enter_context(watching_health(server.address)) for _ in range(20)]
        assert [next(watch) for watch in watches] == [SERVING] * 20
        ending = threading.Thread(target=server.shutdown)
        ending.start()
        assert [list(watch) for watch in watches] == [[NOT_SERVING]] * 20
        ending.join(SOON)


@pytest.mark.parametrize("service", SERVICES)
def test_a_server_that_drains_says_so_while_the_call_in_flight_still_runs(service: str) -> None:
    with draining() as (server, _):
        assert check_health(server.address, service) == NOT_SERVING
        with watching_health(server.address, service) as statuses:
            assert next(statuses) == NOT_SERVING


def test_a_server_that_drains_still_tells_its_contract_and_status_and_takes_nobody_in() -> None:
    with draining() as (server, _):
        status = fetch_status(server.address, SOON)
        assert (status.state, status.call) == ("draining", "step")
        assert "sample_envs.py" in status.stack
        with pytest.raises(EndpointDrainingError):
            rlmesh.RemoteEnv(server.address)


def test_health_status_and_contract_answer_at_once_while_the_environment_is_stuck() -> None:
    env, gate = ScriptedEnv(), Gate()
    with (
        serving(env) as server,
        contextlib.closing(rlmesh.RemoteEnv[Any, Any](server.address)) as client,
    ):
        env.script["reset"] = gate.wait
        resetting = threading.Thread(target=client.reset)
        resetting.start()
        try:
            assert gate.reached.wait(SOON)
            took: list[float] = []
            for _ in range(5):
                before = time.monotonic()
                fetch_status(server.address, SOON)
                assert check_health(server.address) == SERVING
                took.append(time.monotonic() - before)
            status = fetch_status(server.address, SOON)
        finally:
            gate.open()
            resetting.join(SOON)
    assert status.state == "busy"
    assert status.call == "reset"
    assert status.sequence == 2
    assert status.busy_seconds > 0
    assert status.stack.rstrip().splitlines()[-1].strip().startswith(("gotit", "return self._open"))
    assert "rlmesh/server" not in status.stack
    assert status.holder is not None
    # Both of them, over new connections, and the fastest: the others may have met a busy machine.
    assert min(took) < 0.5


@pytest.mark.parametrize("where", ["tcp", "unix"])
def test_health_is_served_wherever_the_server_is(where: str, tmp_path: Any) -> None:
    address = None if where == "tcp" else f"unix://{tmp_path}/e.sock"
    with serving(ScriptedEnv(), address) as server:
        assert check_health(server.address) == SERVING


def test_list_names_every_service() -> None:
    with serving(ScriptedEnv()) as server, channel_to(server.address) as channel:
        # The published stubs have neither the method nor its messages.
        method: Any = channel.unary_unary("/grpc.health.v1.Health/List")
        answer: bytes = method(b"", timeout=SOON)
    # By hand: `map<string, HealthCheckResponse> statuses = 1`, a name and then `{status: SERVING}`.
    entries = sorted(
        (b"\x0a" + bytes([len(name)]) + name.encode() + b"\x12\x02\x08\x01" for name in SERVICES),
        key=len,
    )
    listed = []
    while answer:
        assert answer[0] == 0x0A
        entry, answer = answer[2 : 2 + answer[1]], answer[2 + answer[1] :]
        listed.append(entry)
    assert sorted(listed, key=len) == entries
