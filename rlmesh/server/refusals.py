"""The answers to calls that are not executed, or fail in RLMesh itself."""

from __future__ import annotations

from rlmesh.server.failures import CallFailedError, failed
from rlmesh.server.requests import Request, failed_so
from rlmesh_api.v1 import session_pb2


def failure_of(error: Exception) -> session_pb2.Failure:
    """The failure that an exception is which ended a call."""
    if isinstance(error, CallFailedError):
        return error.failure
    return failed(
        session_pb2.ERROR_CODE_INTERNAL,
        f"{type(error).__name__} in RLMesh itself: {error}; please report it",
        error,
    ).failure


def draining() -> CallFailedError:
    """The failure of a call that comes after the end has begun."""
    return failed(
        session_pb2.ERROR_CODE_DRAINING,
        "the server is shutting down and takes no more calls; connect anew once it serves again",
    )


def refusing(sequence: int) -> session_pb2.SessionResponse:
    """The answer to a call that comes after the end has begun."""
    return failed_so(sequence, draining().failure)


def giving_up(request: Request) -> session_pb2.SessionResponse:
    """The answer to a call that a shutdown does not wait for any longer."""
    error = failed(
        session_pb2.ERROR_CODE_DRAINING,
        f"the server is shutting down, and the environment's {request.name}() did not return in "
        f"the time that it was given; connect anew once it serves again",
    )
    return failed_so(request.sequence, error.failure)
