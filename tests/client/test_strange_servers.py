"""Servers that speak the protocol badly: a typed error, never a hang and never a wrong value."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import pytest

import rlmesh
from rlmesh.contract import read_contract
from rlmesh.errors import EndpointError, ProtocolError
from rlmesh_api.v1 import env_service_pb2, env_service_pb2_grpc, session_pb2
from support.sample_envs import ScriptedEnv, echo_vector

Answer = Callable[[session_pb2.SessionRequest], session_pb2.SessionResponse | None]

GOOD = np.zeros(2, np.float32).tobytes()


class Strange(env_service_pb2_grpc.EnvServiceServicer):
    """Tells a contract and opens sessions as it should; what comes then, the test says."""

    def __init__(self, contract: env_service_pb2.GetContractResponse, answer: Answer) -> None:
        self._contract = contract
        self._answer = answer

    def GetContract(self, request: Any, context: Any) -> env_service_pb2.GetContractResponse:  # noqa: N802 - gRPC's name
        return self._contract

    def GetStatus(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        raise NotImplementedError

    def Watch(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        raise NotImplementedError

    def Shutdown(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        raise NotImplementedError

    def Session(  # noqa: N802 - gRPC's name
        self, request_iterator: Iterator[session_pb2.SessionRequest], context: Any
    ) -> Iterator[session_pb2.SessionResponse]:
        for request in request_iterator:
            if request.WhichOneof("call") == "open":
                opened = session_pb2.OpenResult(session_id="s", protocol_generation=1)
                yield session_pb2.SessionResponse(sequence=request.sequence, open=opened)
                continue
            answer = self._answer(request)
            if answer is None:
                return
            answer.sequence = request.sequence
            yield answer


def contract_of(env: Any) -> env_service_pb2.GetContractResponse:
    return env_service_pb2.GetContractResponse(
        contract=read_contract(env).to_proto(), protocol_generation=1
    )


@contextlib.contextmanager
def strange(
    answer: Answer, contract: env_service_pb2.GetContractResponse | None = None
) -> Generator[str]:
    pool = ThreadPoolExecutor(4)
    server = grpc.server(pool)
    servicer = Strange(contract or contract_of(ScriptedEnv()), answer)
    env_service_pb2_grpc.add_EnvServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()
        pool.shutdown()


def nothing(request: session_pb2.SessionRequest) -> session_pb2.SessionResponse | None:
    return None


def contract_without_spaces() -> env_service_pb2.GetContractResponse:
    response = contract_of(ScriptedEnv())
    response.contract.ClearField("observation_space")
    return response


def contract_of_an_unknown_space() -> env_service_pb2.GetContractResponse:
    response = contract_of(ScriptedEnv())
    response.contract.observation_space.Clear()
    return response


def contract_without_a_dtype() -> env_service_pb2.GetContractResponse:
    response = contract_of(ScriptedEnv())
    response.contract.observation_space.box.ClearField("dtype")
    return response


def contract_with_too_few_bounds() -> env_service_pb2.GetContractResponse:
    response = contract_of(ScriptedEnv())
    response.contract.observation_space.box.shape[:] = [3]
    response.contract.observation_space.box.ClearField("low")
    return response


@pytest.mark.parametrize(
    "contract",
    [
        env_service_pb2.GetContractResponse,
        contract_without_spaces,
        contract_of_an_unknown_space,
        contract_without_a_dtype,
        contract_with_too_few_bounds,
    ],
)
def test_a_contract_that_cannot_be_read_is_a_protocol_error(
    contract: Callable[[], env_service_pb2.GetContractResponse],
) -> None:
    with strange(nothing, contract()) as address:
        with pytest.raises(ProtocolError, match=r"contract of .* cannot be read"):
            rlmesh.RemoteEnv(address)


def response(**answer: Any) -> Answer:
    return lambda request: session_pb2.SessionResponse(**answer)


RESET = session_pb2.ResetResult(observation=GOOD)


@pytest.mark.parametrize(
    "answer",
    [
        response(),
        response(step=session_pb2.StepResult(observation=GOOD)),
        response(close=session_pb2.CloseResult()),
        response(reset=session_pb2.ResetResult()),
        response(reset=session_pb2.ResetResult(observation=GOOD[:-1])),
        response(reset=session_pb2.ResetResult(observation=GOOD + b"\0")),
        response(reset=session_pb2.ResetResult(observation=GOOD, info=b"\xc1")),
        response(reset=session_pb2.ResetResult(observation=GOOD, info=b"\x01")),
        response(failure=session_pb2.Failure()),
        response(failure=session_pb2.Failure(code=session_pb2.ERROR_CODE_INTERNAL, message="oh")),
    ],
    ids=[
        "no answer",
        "another answer",
        "a farewell",
        "no slab",
        "a short slab",
        "a long slab",
        "a damaged info",
        "an info that is no dict",
        "a failure without a reason",
        "a defect",
    ],
)
def test_an_answer_that_makes_no_sense_is_a_protocol_error(answer: Answer) -> None:
    with strange(answer) as address, contextlib.closing(rlmesh.RemoteEnv(address)) as client:
        with pytest.raises(ProtocolError) as caught:
            client.reset()
        assert isinstance(caught.value, ConnectionError)
        assert address in str(caught.value)


@pytest.mark.parametrize(
    "step",
    [
        session_pb2.StepResult(observation=GOOD),
        session_pb2.StepResult(observation=GOOD, rewards=[1.0], terminations=[True]),
        session_pb2.StepResult(
            observation=GOOD, rewards=[1.0, 2.0], terminations=[True], truncations=[True]
        ),
    ],
    ids=["no numbers", "a flag missing", "a reward too many"],
)
def test_a_step_without_its_numbers_is_a_protocol_error(step: session_pb2.StepResult) -> None:
    def answer(request: session_pb2.SessionRequest) -> session_pb2.SessionResponse:
        if request.WhichOneof("call") == "reset":
            return session_pb2.SessionResponse(reset=RESET)
        return session_pb2.SessionResponse(step=step)

    with strange(answer) as address, contextlib.closing(rlmesh.RemoteEnv(address)) as client:
        client.reset()
        with pytest.raises(ProtocolError):
            client.step(np.zeros(2, np.float32))


def test_a_step_of_sub_envs_without_their_numbers_is_a_protocol_error() -> None:
    def answer(request: session_pb2.SessionRequest) -> session_pb2.SessionResponse:
        numbers = np.zeros(2, np.int64).tobytes()
        if request.WhichOneof("call") == "reset":
            return session_pb2.SessionResponse(reset=session_pb2.ResetResult(observation=numbers))
        step = session_pb2.StepResult(observation=numbers, rewards=[1.0])
        return session_pb2.SessionResponse(step=step)

    with strange(answer, contract_of(echo_vector("discrete", 2))) as address:
        with contextlib.closing(rlmesh.RemoteVectorEnv(address)) as client:
            client.reset()
            with pytest.raises(ProtocolError):
                client.step([0, 0])


def test_a_session_that_ends_instead_of_an_answer_is_an_endpoint_error() -> None:
    with strange(nothing) as address, contextlib.closing(rlmesh.RemoteEnv(address)) as client:
        for _ in range(2):
            with pytest.raises(EndpointError, match="ended the session"):
                client.reset()


def test_a_frame_that_cannot_be_read_is_a_protocol_error() -> None:
    damaged = session_pb2.RenderResult(frame=b"\xc1")
    with strange(response(render=damaged)) as address:
        with contextlib.closing(rlmesh.RemoteEnv(address)) as client:
            with pytest.raises(ProtocolError):
                client.render()
