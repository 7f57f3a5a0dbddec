"""The failures of calls that are not executed, or that fail in RLMesh itself."""

from __future__ import annotations

from rlmesh.server.failures import CallFailedError, failed
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


def draining() -> session_pb2.Failure:
    """Of what comes after the end of the server has begun."""
    return failed(
        session_pb2.ERROR_CODE_DRAINING,
        "the server is shutting down and takes no more calls; connect anew once it serves again",
    ).failure


def given_up(name: str) -> session_pb2.Failure:
    """Of a call that a shutdown does not wait for any longer."""
    return failed(
        session_pb2.ERROR_CODE_DRAINING,
        f"the server is shutting down, and the environment's {name}() did not return in the time "
        f"that it was given; connect anew once it serves again",
    ).failure


def overdue(name: str, seconds: float) -> session_pb2.Failure:
    """Of a call that has taken longer than the server gives a call."""
    return failed(
        session_pb2.ERROR_CODE_DEADLINE,
        f"the environment's {name}() did not return within the {seconds:g} s that the server gives "
        f"a call (ServeOptions.call_timeout_seconds). The next call must be a reset, which waits "
        f"until the environment has returned",
    ).failure


def gone() -> session_pb2.Failure:
    """Of what is asked of a session that is over, or never was."""
    return failed(
        session_pb2.ERROR_CODE_SESSION_GONE,
        "this server has no such session: it was started anew, or the session has ended. Its "
        "episode is gone; the next reset begins another one in a new session",
    ).failure


def died() -> session_pb2.Failure:
    """Of a session whose client's process has died."""
    return failed(
        session_pb2.ERROR_CODE_SESSION_GONE,
        "the process of the session's client has died, and the session ended with it",
    ).failure


def lost_for(seconds: float) -> session_pb2.Failure:
    """Of a session whose client did not come back."""
    return failed(
        session_pb2.ERROR_CODE_SESSION_GONE,
        f"the server kept the session for {seconds:g} s after its connection had broken "
        f"(ServeOptions.resume_timeout_seconds), and ended it then. Its episode is gone; the next "
        f"reset begins another one in a new session",
    ).failure


def idle(seconds: float) -> session_pb2.Failure:
    """Of a session that was ended because nothing was asked of it."""
    return failed(
        session_pb2.ERROR_CODE_SESSION_GONE,
        f"the server ended the session, as no call came for {seconds:g} s "
        f"(ServeOptions.session_idle_timeout_seconds). Its episode is gone; the next reset begins "
        f"another one in a new session",
    ).failure


def out_of_order(sequence: int, last: int) -> session_pb2.Failure:
    """Of a call whose number does not follow those before it."""
    return failed(
        session_pb2.ERROR_CODE_PROTOCOL,
        f"call {sequence} does not follow call {last}, which was the last one; a client repeats "
        f"the last call or makes the next one. The session ends",
    ).failure
