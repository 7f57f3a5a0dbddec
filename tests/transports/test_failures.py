"""Whatever the other side or gRPC says went wrong is one error of the tree."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from rlmesh import errors
from rlmesh.transports.failures import error_from_failure, error_from_rpc
from rlmesh_api.v1 import session_pb2

ADDRESS = "tcp://127.0.0.1:5555"

STATUSES = {
    grpc.StatusCode.CANCELLED: errors.ConnectionLostError,
    grpc.StatusCode.UNKNOWN: errors.ProtocolError,
    grpc.StatusCode.INVALID_ARGUMENT: errors.ProtocolError,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.CallTimeoutError,
    grpc.StatusCode.NOT_FOUND: errors.ProtocolError,
    grpc.StatusCode.ALREADY_EXISTS: errors.ProtocolError,
    grpc.StatusCode.PERMISSION_DENIED: errors.AccessDeniedError,
    grpc.StatusCode.UNAUTHENTICATED: errors.AuthenticationError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.ProtocolError,
    grpc.StatusCode.FAILED_PRECONDITION: errors.ProtocolError,
    grpc.StatusCode.ABORTED: errors.ProtocolError,
    grpc.StatusCode.UNIMPLEMENTED: errors.ProtocolError,
    grpc.StatusCode.INTERNAL: errors.ProtocolError,
    grpc.StatusCode.UNAVAILABLE: errors.ConnectionLostError,
    grpc.StatusCode.DATA_LOSS: errors.ProtocolError,
    grpc.StatusCode.OUT_OF_RANGE: errors.ProtocolError,
    # grpc raises nothing with it.
    grpc.StatusCode.OK: errors.ProtocolError,
}
CODES = {
    session_pb2.ERROR_CODE_UNSPECIFIED: errors.ProtocolError,
    session_pb2.ERROR_CODE_PROTOCOL: errors.ProtocolError,
    session_pb2.ERROR_CODE_INVALID_ARGUMENT: errors.InvalidArgumentError,
    session_pb2.ERROR_CODE_INVALID_ACTION: errors.InvalidActionError,
    session_pb2.ERROR_CODE_INVALID_OBSERVATION: errors.InvalidObservationError,
    session_pb2.ERROR_CODE_INVALID_RESULT: errors.InvalidResultError,
    session_pb2.ERROR_CODE_ENVIRONMENT: errors.RemoteEnvError,
    session_pb2.ERROR_CODE_BUSY: errors.EndpointBusyError,
    session_pb2.ERROR_CODE_DRAINING: errors.EndpointDrainingError,
    session_pb2.ERROR_CODE_INCOMPATIBLE: errors.ProtocolError,
    session_pb2.ERROR_CODE_INTERNAL: errors.ProtocolError,
    session_pb2.ERROR_CODE_SESSION_GONE: errors.SessionLostError,
    session_pb2.ERROR_CODE_DEADLINE: errors.CallTimeoutError,
    session_pb2.ERROR_CODE_ENV_CRASHED: errors.EnvCrashedError,
    session_pb2.ERROR_CODE_MODEL: errors.RemoteModelError,
    session_pb2.ERROR_CODE_MODEL_CRASHED: errors.ModelCrashedError,
    session_pb2.ERROR_CODE_QUEUE_FULL: errors.EndpointBusyError,
}


def failed(code: grpc.StatusCode | None, details: str | None) -> grpc.RpcError:
    """What grpc raises: the call and the error in one, of a class that it does not export."""
    kind: Any = type("Failed", (grpc.RpcError, grpc.Call), {})
    kind.__abstractmethods__ = frozenset()
    error: Any = kind()
    error.code = lambda: code
    error.details = lambda: details
    raised: grpc.RpcError = error
    return raised


def test_every_status_of_grpc_is_mapped_here() -> None:
    assert STATUSES.keys() == set(grpc.StatusCode)


@pytest.mark.parametrize("code", grpc.StatusCode, ids=lambda code: code.name)
@pytest.mark.parametrize("details", ["{braces} and 100 %", "", None])
def test_every_status_is_an_error_that_names_endpoint_and_call(
    code: grpc.StatusCode, details: str | None
) -> None:
    error = error_from_rpc(failed(code, details), ADDRESS, doing="session", timeout=2.5)
    assert type(error) is STATUSES[code]
    message = str(error)
    assert message.startswith("session: ")
    assert ADDRESS in message
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        assert "2.5 s" in message
    else:
        assert (details or code.name) in message


def test_an_error_of_grpc_that_is_no_call_is_told_as_it_is() -> None:
    error = error_from_rpc(grpc.RpcError("odd"), ADDRESS, doing="session")
    assert type(error) is errors.ProtocolError
    assert "odd" in str(error)


def test_a_call_without_a_code_is_told_too() -> None:
    error = error_from_rpc(failed(None, None), ADDRESS, doing="session")
    assert type(error) is errors.ProtocolError


def test_every_code_of_a_failure_is_mapped_here() -> None:
    assert CODES.keys() == set(session_pb2.ErrorCode.values())


@pytest.mark.parametrize("code", CODES, ids=session_pb2.ErrorCode.Name)
def test_every_failure_is_its_error(code: session_pb2.ErrorCode.ValueType) -> None:
    failure = session_pb2.Failure(
        code=code,
        message="what happened",
        exception_type="ValueError",
        exception_message="no",
        traceback="Traceback ...\nValueError: no\n",
        holder=session_pb2.Holder(peer=session_pb2.Peer(name="train.py", pid=7), seconds=3),
    )
    error = error_from_failure(failure, ADDRESS)
    assert type(error) is CODES[code]
    if code == session_pb2.ERROR_CODE_BUSY:
        assert "train.py (pid 7) for 3.0 s" in str(error)
    else:
        assert "what happened" in str(error)


def test_a_failure_of_a_code_that_only_a_later_version_knows_is_a_failed_server() -> None:
    failure = session_pb2.Failure(message="what happened")
    failure.MergeFromString(b"\x08\x63")  # code = 99
    assert type(error_from_failure(failure, ADDRESS)) is errors.ProtocolError


def test_an_environments_exception_reads_well() -> None:
    failure = session_pb2.Failure(
        code=session_pb2.ERROR_CODE_ENVIRONMENT,
        message="the environment's step() raised ValueError: no",
        traceback="Traceback (most recent call last):\n  ...\nValueError: no\n",
    )
    assert str(error_from_failure(failure, ADDRESS)) == (
        "the environment's step() raised ValueError: no\n"
        "\n"
        "Traceback in the serving process:\n"
        "Traceback (most recent call last):\n"
        "  ...\n"
        "ValueError: no"
    )
