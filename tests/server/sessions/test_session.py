"""One client at a time, and what everybody else is told meanwhile."""

from __future__ import annotations

import contextlib
import gc
import re
import signal
import subprocess
import threading
from collections.abc import Generator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

import rlmesh
from rlmesh.address import parse_address
from rlmesh.errors import EndpointBusyError, EndpointError, StateError
from rlmesh_api.v1 import env_service_pb2, env_service_pb2_grpc, session_pb2
from support.sample_envs import Gate, ScriptedEnv, echo_vector
from support.serving import serving, start_python

pytestmark = pytest.mark.usefixtures("each_transport")

HOLD = """
import sys
import rlmesh
env = rlmesh.RemoteEnv(sys.argv[1])
env.reset(seed=0)
print("held", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def channel(address: str) -> Generator[grpc.Channel]:
    with grpc.insecure_channel(parse_address(address).dial_target) as raw:
        yield raw


@contextlib.contextmanager
def stub(address: str) -> Generator[env_service_pb2_grpc.EnvServiceStub]:
    with channel(address) as raw:
        yield env_service_pb2_grpc.EnvServiceStub(raw)


def check_health(raw: grpc.Channel, name: str) -> int:
    """What the health service says of a name."""
    check = raw.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    return check(health_pb2.HealthCheckRequest(service=name), timeout=10).status


@contextlib.contextmanager
def another_process(address: str) -> Generator[subprocess.Popen[str]]:
    """A client in a process of its own, which holds the environment until it is ended."""
    with start_python(
        ["-W", "error", "-c", HOLD, address], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == "held"
            yield process
        finally:
            process.kill()


def connect_when_free(address: str, attempts: int = 200) -> rlmesh.RemoteEnv[Any, Any]:
    """Connects once the server has noticed that the last client is gone."""
    pause = threading.Event()
    for _ in range(attempts):
        with contextlib.suppress(EndpointBusyError):
            return rlmesh.RemoteEnv(address)
        pause.wait(0.02)
    return rlmesh.RemoteEnv(address)


def test_a_second_client_is_told_who_holds_the_environment_and_since_when() -> None:
    with serving(ScriptedEnv()) as server, another_process(server.address) as holder:
        with pytest.raises(EndpointBusyError, match=f"pid {holder.pid}") as caught:
            rlmesh.RemoteEnv(server.address)
    assert isinstance(caught.value, EndpointError)
    assert isinstance(caught.value, ConnectionError)
    assert server.address in str(caught.value)
    assert re.search(r"for \d+\.\d s", str(caught.value))


def test_a_client_that_was_refused_does_not_disturb_the_one_that_holds() -> None:
    with serving(ScriptedEnv()) as server:
        with contextlib.closing(rlmesh.RemoteEnv(server.address)) as first:
            first.reset(seed=0)
            for _ in range(3):
                with pytest.raises(EndpointBusyError):
                    rlmesh.RemoteEnv(server.address)
            first.step(first.action_space.sample())


def test_the_next_client_connects_at_once_after_a_close() -> None:
    with serving(ScriptedEnv()) as server:
        for _ in range(30):
            env: rlmesh.RemoteEnv[Any, Any] = rlmesh.RemoteEnv(server.address)
            env.reset(seed=0)
            env.close()


def test_a_vector_endpoint_has_one_client_at_a_time_too() -> None:
    with serving(echo_vector("box", 2)) as server:
        with contextlib.closing(rlmesh.RemoteVectorEnv(server.address)) as first:
            first.reset()
            with pytest.raises(EndpointBusyError):
                rlmesh.RemoteVectorEnv(server.address)
        rlmesh.RemoteVectorEnv(server.address).close()


def test_closing_gives_the_environment_back_and_does_not_close_it() -> None:
    env = ScriptedEnv()
    with serving(env) as server:
        rlmesh.RemoteEnv(server.address).close()
        assert "close" not in env.names()
    assert env.names() == ["close"]


def test_a_close_may_be_repeated() -> None:
    with serving(ScriptedEnv()) as server:
        env: rlmesh.RemoteEnv[Any, Any] = rlmesh.RemoteEnv(server.address)
        env.close()
        env.close()


def test_a_closed_client_says_so() -> None:
    with serving(ScriptedEnv()) as server:
        env: rlmesh.RemoteEnv[Any, Any] = rlmesh.RemoteEnv(server.address)
        env.close()
        for call in (env.reset, lambda: env.step(env.action_space.sample()), env.render):
            with pytest.raises(StateError, match="is closed; make a new client") as caught:
                call()
            assert isinstance(caught.value, RuntimeError)


def test_a_client_that_is_garbage_collected_frees_the_endpoint() -> None:
    with serving(ScriptedEnv()) as server:
        env: rlmesh.RemoteEnv[Any, Any] = rlmesh.RemoteEnv(server.address)
        env.reset(seed=0)
        del env
        gc.collect()
        rlmesh.RemoteEnv(server.address).close()


def test_a_vector_client_that_is_garbage_collected_frees_the_endpoint() -> None:
    with serving(echo_vector("box", 2)) as server:
        envs: rlmesh.RemoteVectorEnv[Any, Any] = rlmesh.RemoteVectorEnv(server.address)
        envs.reset(seed=0)
        del envs
        gc.collect()
        rlmesh.RemoteVectorEnv(server.address).close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_client_whose_process_is_killed_frees_the_endpoint(number: signal.Signals) -> None:
    # Where the system does not tell that it is dead, it might come back.
    options = rlmesh.ServeOptions(resume_timeout_seconds=0.2)
    with serving(ScriptedEnv(), options=options) as server:
        with another_process(server.address) as holder:
            holder.send_signal(number)
            holder.wait(20)
            connect_when_free(server.address).close()


def test_a_client_that_exits_without_closing_frees_the_endpoint_and_exits_cleanly() -> None:
    program = "import sys, rlmesh; env = rlmesh.RemoteEnv(sys.argv[1]); env.reset(seed=0)"
    with serving(ScriptedEnv()) as server:
        with start_python(
            ["-W", "error", "-c", program, server.address], stderr=subprocess.PIPE
        ) as process:
            _, complaints = process.communicate(timeout=60)
        assert (process.returncode, complaints) == (0, "")
        connect_when_free(server.address).close()


def test_anybody_may_read_the_contract_while_the_environment_is_held() -> None:
    with serving(ScriptedEnv()) as server:
        with contextlib.closing(rlmesh.RemoteEnv(server.address)), stub(server.address) as raw:
            answer = raw.GetContract(env_service_pb2.GetContractRequest(), timeout=10)
    assert rlmesh.EnvContract.from_proto(answer.contract) == server.env_contract
    assert answer.protocol_generation >= 1
    assert answer.server.version == rlmesh.__version__
    assert answer.server.pid > 0


def test_the_status_tells_who_holds_the_environment() -> None:
    with serving(ScriptedEnv()) as server, stub(server.address) as raw:
        free = raw.GetStatus(env_service_pb2.GetStatusRequest(), timeout=10)
        assert free.state == env_service_pb2.SERVER_STATE_READY
        assert not free.HasField("holder")
        with another_process(server.address) as holder:
            held = raw.GetStatus(env_service_pb2.GetStatusRequest(), timeout=10)
            assert held.holder.peer.pid == holder.pid
            assert held.holder.seconds >= 0


def test_status_and_health_answer_while_the_environment_is_stuck() -> None:
    env, gate = ScriptedEnv(), Gate()
    env.script["step"] = gate.wait
    with serving(env) as server, channel(server.address) as raw:
        with contextlib.closing(rlmesh.RemoteEnv(server.address)) as client:
            client.reset(seed=0)
            stepping = threading.Thread(target=client.step, args=(client.action_space.sample(),))
            stepping.start()
            assert gate.reached.wait(20)
            try:
                status = env_service_pb2_grpc.EnvServiceStub(raw).GetStatus(
                    env_service_pb2.GetStatusRequest(), timeout=10
                )
                health = check_health(raw, "")
            finally:
                gate.open()
                stepping.join(20)
    assert status.state == env_service_pb2.SERVER_STATE_BUSY
    assert status.call == "step"
    assert status.sequence > 0
    assert status.busy_seconds >= 0
    assert "gate.wait" in status.stack or "_opened.wait" in status.stack
    assert health == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize("name", ["", "rlmesh_api.v1.EnvService"])
def test_health_serves_under_every_name_of_the_service(name: str) -> None:
    with serving(ScriptedEnv()) as server, channel(server.address) as raw:
        assert check_health(raw, name) == health_pb2.HealthCheckResponse.SERVING


def test_health_knows_no_other_name() -> None:
    with serving(ScriptedEnv()) as server, channel(server.address) as raw:
        with pytest.raises(grpc.RpcError) as caught:
            check_health(raw, "other")
    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def converse(
    address: str, *requests: session_pb2.SessionRequest
) -> list[session_pb2.SessionResponse]:
    """Sends requests on one session stream and gives all answers."""
    with stub(address) as raw:
        return list(raw.Session(iter(requests), timeout=20))


def opening(generation: int = 1) -> session_pb2.SessionRequest:
    return session_pb2.SessionRequest(
        sequence=1, open=session_pb2.OpenCall(protocol_generation=generation)
    )


def test_a_session_opens_answers_and_closes_call_by_call() -> None:
    with serving(ScriptedEnv()) as server:
        opened, reset, closed = converse(
            server.address,
            opening(),
            session_pb2.SessionRequest(sequence=2, reset=session_pb2.ResetCall()),
            session_pb2.SessionRequest(sequence=3, close=session_pb2.CloseCall()),
        )
    assert [answer.sequence for answer in (opened, reset, closed)] == [1, 2, 3]
    assert opened.open.session_id
    assert opened.open.protocol_generation == 1
    assert reset.WhichOneof("answer") == "reset"
    assert closed.WhichOneof("answer") == "close"


def test_a_session_that_does_not_begin_with_open_is_refused() -> None:
    env = ScriptedEnv()
    with serving(env) as server:
        (answer,) = converse(
            server.address,
            session_pb2.SessionRequest(sequence=1, reset=session_pb2.ResetCall()),
        )
        assert env.calls == []
    assert answer.failure.code == session_pb2.ERROR_CODE_PROTOCOL


def test_a_client_of_no_generation_is_refused() -> None:
    with serving(ScriptedEnv()) as server:
        (answer,) = converse(server.address, opening(generation=0))
        rlmesh.RemoteEnv(server.address).close()
    assert answer.failure.code == session_pb2.ERROR_CODE_INCOMPATIBLE


def test_a_client_of_a_later_generation_is_answered_in_this_one() -> None:
    with serving(ScriptedEnv()) as server:
        (answer,) = converse(server.address, opening(generation=99))
    assert answer.open.protocol_generation == 1


@pytest.mark.parametrize(
    "request_",
    [
        session_pb2.SessionRequest(sequence=2),
        session_pb2.SessionRequest(sequence=2, open=session_pb2.OpenCall(protocol_generation=1)),
        session_pb2.SessionRequest(sequence=2, reset=session_pb2.ResetCall(seed=b"\xc1")),
        session_pb2.SessionRequest(sequence=2, reset=session_pb2.ResetCall(options=b"\xc1")),
        session_pb2.SessionRequest(sequence=2, step=session_pb2.StepCall(action=b"short")),
        session_pb2.SessionRequest(sequence=2, step=session_pb2.StepCall(action=b"\0" * 99)),
    ],
    ids=["no call", "open again", "damaged seed", "damaged options", "short slab", "long slab"],
)
def test_a_request_that_makes_no_sense_ends_the_session_and_not_the_server(
    request_: session_pb2.SessionRequest,
) -> None:
    env = ScriptedEnv()
    with serving(env) as server:
        _, answer, *rest = converse(server.address, opening(), request_, request_)
        assert answer.failure.code == session_pb2.ERROR_CODE_PROTOCOL
        assert rest == []
        assert env.calls == []
        rlmesh.RemoteEnv(server.address).close()


@pytest.mark.parametrize("opened", [False, True])
def test_bytes_that_are_no_message_end_the_stream_and_not_the_server(opened: bool) -> None:
    opening = session_pb2.SessionRequest(
        sequence=1, open=session_pb2.OpenCall(protocol_generation=1)
    )
    messages = [opening.SerializeToString()] * opened + [b"\xff\xff\xff\xff"]
    with serving(ScriptedEnv()) as server:
        with channel(server.address) as raw:
            send: Any = raw.stream_stream("/rlmesh_api.v1.EnvService/Session")
            *_, last = send(iter(messages), timeout=20)
        failure = session_pb2.SessionResponse.FromString(last).failure
        assert failure.code == session_pb2.ERROR_CODE_PROTOCOL
        assert "cannot be read" in failure.message
        rlmesh.RemoteEnv(server.address).close()


def test_the_server_can_be_explored_by_reflection() -> None:
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    with serving(ScriptedEnv()) as server, channel(server.address) as raw:
        ask = raw.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        (answer,) = ask(iter([request]), timeout=10)
    names = {service.name for service in answer.list_services_response.service}
    assert {"rlmesh_api.v1.EnvService", "grpc.health.v1.Health"} <= names
