"""Failures on the wire and the errors that they are in Python."""

from __future__ import annotations

from collections.abc import Callable

import grpc

from rlmesh import errors
from rlmesh.lanes.peer import describe
from rlmesh_api.v1 import session_pb2

__all__ = ["error_from_failure", "error_from_rpc"]

_PLAIN: dict[int, Callable[[str], errors.RlmeshError]] = {
    session_pb2.ERROR_CODE_PROTOCOL: errors.ProtocolError,
    session_pb2.ERROR_CODE_INVALID_ARGUMENT: errors.InvalidArgumentError,
    session_pb2.ERROR_CODE_INVALID_ACTION: errors.InvalidActionError,
    session_pb2.ERROR_CODE_INVALID_OBSERVATION: errors.InvalidObservationError,
    session_pb2.ERROR_CODE_DRAINING: errors.EndpointDrainingError,
    session_pb2.ERROR_CODE_INCOMPATIBLE: errors.ProtocolError,
}


def error_from_failure(failure: session_pb2.Failure, address: str) -> errors.RlmeshError:
    """The error that a failure of the peer at an address is here."""
    if failure.code == session_pb2.ERROR_CODE_ENVIRONMENT:
        return errors.RemoteEnvError(
            f"{failure.message}\n\nTraceback in the serving process:\n{failure.traceback}",
            exception_type=failure.exception_type,
            exception_message=failure.exception_message,
            remote_traceback=failure.traceback,
        )
    if failure.code == session_pb2.ERROR_CODE_BUSY:
        return errors.EndpointBusyError(
            f"{address} is held by {describe(failure.holder.peer)} for "
            f"{failure.holder.seconds:.1f} s, and serves one client at a time; wait until that "
            f"client closes, or serve another environment"
        )
    make = _PLAIN.get(failure.code)
    if make is not None:
        return make(failure.message)
    return errors.ProtocolError(f"the server at {address} failed: {failure.message}")


def error_from_rpc(
    error: grpc.RpcError, address: str, *, doing: str, timeout: float | None = None
) -> errors.RlmeshError:
    """The error that a failed gRPC call is here.

    Args:
        error: What grpc raised.
        address: The endpoint.
        doing: What was tried, for the message: `connecting`, `step`.
        timeout: The deadline of the call in seconds, None where it had none.
    """
    # grpc raises objects that are both the call and the error; the base class has no `code`.
    code = error.code() if isinstance(error, grpc.Call) else None
    details = (error.details() if isinstance(error, grpc.Call) else None) or str(error)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return errors.CallTimeoutError(f"{doing}: no answer from {address} within {timeout} s")
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return errors.ProtocolError(
            f"{doing}: the server at {address} does not speak RLMesh ({details}); check the address"
        )
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return errors.ProtocolError(f"{doing}: a message to or from {address} is too large: {details}")
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
        return errors.ConnectionLostError(
            f"{doing}: the connection to {address} broke ({details}); the server ended or the "
            f"network failed. Connect anew once it serves again"
        )
    return errors.ProtocolError(f"{doing}: {address} answered {code}: {details}")
