"""Failures on the wire, as the errors that they are in Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import grpc

from rlmesh import errors
from rlmesh.foreign_text import LONGEST_TEXT, one_line, paragraphs
from rlmesh.transports.peer import Holder
from rlmesh.transports.remote_errors import remote_error
from rlmesh_api.v1 import session_pb2

__all__ = ["error_from_failure", "error_from_rpc", "error_of_making", "status_of"]

_OF_THE_ENVIRONMENT = (session_pb2.ERROR_CODE_ENVIRONMENT, session_pb2.ERROR_CODE_ENV_CRASHED)
_OF_THE_MODEL = (session_pb2.ERROR_CODE_MODEL, session_pb2.ERROR_CODE_MODEL_CRASHED)
_FAILURES: Mapping[int, Callable[[str], errors.RlmeshError]] = {
    session_pb2.ERROR_CODE_PROTOCOL: errors.ProtocolError,
    session_pb2.ERROR_CODE_INVALID_ARGUMENT: errors.InvalidArgumentError,
    session_pb2.ERROR_CODE_DRAINING: errors.EndpointDrainingError,
    session_pb2.ERROR_CODE_INCOMPATIBLE: errors.ProtocolError,
    session_pb2.ERROR_CODE_SESSION_GONE: errors.SessionLostError,
    session_pb2.ERROR_CODE_DEADLINE: errors.CallTimeoutError,
}

MAX_HOLDERS = 16
"""How many holders of a busy server a client reads."""

# The statuses with a meaning of their own; any other is a peer that does not speak RLMesh.
_STATUSES: Mapping[grpc.StatusCode, tuple[Callable[[str], errors.RlmeshError], str]] = {
    grpc.StatusCode.UNAVAILABLE: (
        errors.ConnectionLostError,
        (
            "{doing}: the connection to {address} broke ({details}); the server ended or the "
            "network failed. Make a new client once it serves again"
        ),
    ),
    grpc.StatusCode.CANCELLED: (
        errors.ConnectionLostError,
        (
            "{doing}: {address} ended the call ({details}); the server is shutting down, or "
            "something on the way cut the connection. Make a new client once it serves again"
        ),
    ),
    grpc.StatusCode.DEADLINE_EXCEEDED: (
        errors.CallTimeoutError,
        "{doing}: no answer from {address} within {timeout} s",
    ),
    grpc.StatusCode.PERMISSION_DENIED: (
        errors.AccessDeniedError,
        "{doing}: {address} does not allow it: {details}",
    ),
    grpc.StatusCode.UNAUTHENTICATED: (
        errors.AuthenticationError,
        (
            "{doing}: {address} does not accept this client ({details}); give it the token "
            "that the server was given, with token= or RLMESH_TOKEN, --token-file on the command "
            "line"
        ),
    ),
    grpc.StatusCode.UNIMPLEMENTED: (
        errors.ProtocolError,
        "{doing}: the server at {address} does not speak RLMesh ({details}); check the address",
    ),
    grpc.StatusCode.RESOURCE_EXHAUSTED: (
        errors.ProtocolError,
        (
            "{doing}: a limit of {address} or of this client is reached ({details}); send smaller "
            "values, or make fewer calls at once"
        ),
    ),
}


def error_from_failure(failure: session_pb2.Failure, address: str) -> errors.RlmeshError:
    """The error that a failure reported by a peer becomes here."""
    message = paragraphs(failure.message)
    if failure.code in _OF_THE_ENVIRONMENT:
        remote = paragraphs(failure.traceback.rstrip())
        kind = (
            errors.EnvCrashedError
            if failure.code == session_pb2.ERROR_CODE_ENV_CRASHED
            else remote_error(errors.RemoteEnvError, tuple(failure.builtin_types))
        )
        return kind(
            f"{message}\n\nTraceback in the serving process:\n{remote}" if remote else message,
            exception_type=failure.exception_type,
            exception_message=failure.exception_message,
            remote_traceback=failure.traceback,
        )
    if failure.code in _OF_THE_MODEL:
        remote = paragraphs(failure.traceback.rstrip())
        failed = (
            errors.ModelCrashedError
            if failure.code == session_pb2.ERROR_CODE_MODEL_CRASHED
            else remote_error(errors.RemoteModelError, tuple(failure.builtin_types))
        )
        return failed(
            f"{message}\n\nTraceback in the serving process:\n{remote}" if remote else message,
            exception_type=failure.exception_type,
            exception_message=failure.exception_message,
            remote_traceback=failure.traceback,
        )
    if failure.code == session_pb2.ERROR_CODE_QUEUE_FULL:
        return errors.EndpointBusyError(
            f"{address} refused a request: {message}", queue_length=failure.queue_length
        )
    if failure.code == session_pb2.ERROR_CODE_INVALID_ACTION:
        return errors.InvalidActionError(message, remote_traceback=failure.traceback)
    if failure.code == session_pb2.ERROR_CODE_INVALID_OBSERVATION:
        return errors.InvalidObservationError(message, remote_traceback=failure.traceback)
    if failure.code == session_pb2.ERROR_CODE_INVALID_RESULT:
        return errors.InvalidResultError(message, remote_traceback=failure.traceback)
    if failure.code == session_pb2.ERROR_CODE_BUSY:
        return _busy(failure, address)
    make = _FAILURES.get(failure.code)
    if make is not None:
        return make(message)
    return errors.ProtocolError(f"the server at {address} failed: {message}")


def _busy(failure: session_pb2.Failure, address: str) -> errors.EndpointBusyError:
    holders = tuple(map(Holder.from_proto, failure.holders[:MAX_HOLDERS]))
    if not holders and failure.HasField("holder"):
        holders = (Holder.from_proto(failure.holder),)
    capacity = failure.capacity or 1
    serves = "one client" if capacity == 1 else f"{capacity} clients"
    more = f" and {capacity - len(holders)} more" if 0 < len(holders) < capacity else ""
    return errors.EndpointBusyError(
        f"{address} is held by {'; '.join(map(str, holders)) or 'others'}{more}, and serves "
        f"{serves} at a time; wait with busy_timeout_seconds= until one closes, or serve another "
        f"environment",
        capacity=capacity,
        holders=holders,
    )


def error_of_making(failure: session_pb2.Failure) -> errors.RlmeshError:
    """The error for a failure of a worker process that made no environment."""
    kind = getattr(errors, failure.exception_type, None)
    if isinstance(kind, type) and issubclass(kind, errors.RlmeshError):
        # The same error as where the environment is made in this process.
        return kind(failure.message)
    return error_from_failure(failure, "the worker process")


def error_from_rpc(
    error: grpc.RpcError, address: str, *, doing: str, timeout: float | None = None
) -> errors.RlmeshError:
    """The error that a failed gRPC call becomes here.

    Args:
        error: What grpc raised.
        address: The endpoint.
        doing: What was tried, for the message: `connecting`, `step`.
        timeout: The deadline of the call in seconds, None where it had none.
    """
    code, details = status_of(error)
    details = one_line(details, LONGEST_TEXT)
    if code is not None and code in _STATUSES:
        make, message = _STATUSES[code]
        return make(message.format(doing=doing, address=address, details=details, timeout=timeout))
    return errors.ProtocolError(
        f"{doing}: {address} answered with the status {code.name if code else 'of no code'} "
        f"({details}), which RLMesh never sends; check that nothing else serves there"
    )


def status_of(error: grpc.RpcError) -> tuple[grpc.StatusCode | None, str]:
    """The status code and the details of what grpc raised."""
    # grpc raises objects that are both the call and the error; the base class has no `code`.
    if isinstance(error, grpc.Call):
        code = error.code()
        return code, error.details() or (code.name if code else str(error))
    return None, str(error)
