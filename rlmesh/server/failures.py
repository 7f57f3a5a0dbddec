"""Failures as messages to clients: bounded, and as text, whatever was raised."""

from __future__ import annotations

from collections.abc import Sequence

from rlmesh.contract import ContractDifference
from rlmesh.envs.raised import (
    MESSAGE_LIMIT,
    TRACEBACK_LIMIT,
    CallFailedError,
    env_raised,
    failed,
    model_raised,
    stack_text,
)
from rlmesh.foreign_text import log_lines
from rlmesh_api.v1 import session_pb2

__all__ = [
    "FATAL",
    "TRACEBACK_LIMIT",
    "CallFailedError",
    "another_contract",
    "died",
    "draining",
    "env_raised",
    "failed",
    "failure_of",
    "given_up",
    "gone",
    "idle",
    "log_text",
    "lost_for",
    "model_raised",
    "not_a_repetition",
    "out_of_order",
    "overdue",
    "stack_text",
]

FATAL = (session_pb2.ERROR_CODE_PROTOCOL, session_pb2.ERROR_CODE_INTERNAL)
"""The codes of failures that end the session: client and server have no common ground."""


def another_contract(differences: Sequence[ContractDifference]) -> str:
    """What is wrong with a factory whose environments have different contracts."""
    return (
        f"the factory made an environment with another contract than this endpoint's, which its "
        f"clients rely on: {'; '.join(map(str, differences))}. Have it make the same environment "
        f"every time"
    )


def log_text(failure: session_pb2.Failure) -> str:
    """A failure's message and traceback, fit for a log."""
    text = "\n".join(filter(None, (failure.message, failure.traceback.rstrip())))
    return log_lines(text, MESSAGE_LIMIT + TRACEBACK_LIMIT)


def failure_of(error: Exception) -> session_pb2.Failure:
    """The failure for an exception that ended a call."""
    if isinstance(error, CallFailedError):
        return error.failure
    if isinstance(error, MemoryError):
        return failed(
            session_pb2.ERROR_CODE_INTERNAL,
            "the server has no memory left for this call; send less at once, or give the server's "
            "process more memory",
            error,
        ).failure
    return failed(
        session_pb2.ERROR_CODE_INTERNAL,
        f"{type(error).__name__} in RLMesh itself: {error}; please report it",
        error,
    ).failure


def draining() -> session_pb2.Failure:
    """The failure of a call that arrives while the server shuts down."""
    return failed(
        session_pb2.ERROR_CODE_DRAINING,
        "the server is shutting down and takes no more calls; connect again once it serves again",
    ).failure


def given_up(name: str, noun: str) -> session_pb2.Failure:
    """The failure of a call that a shutdown no longer waits for."""
    return failed(
        session_pb2.ERROR_CODE_DRAINING,
        f"the server is shutting down, and the {noun}'s {name}() did not return in the time "
        f"that it was given; connect again once it serves again",
    ).failure


def overdue(name: str, seconds: float, noun: str) -> session_pb2.Failure:
    """The failure of a call that took longer than the server allows."""
    return failed(
        session_pb2.ERROR_CODE_DEADLINE,
        f"the {noun}'s {name}() did not return within the {seconds:g} s that the server gives a "
        f"call (ServeOptions.call_timeout_seconds). The next call must be a reset, which waits "
        f"until the {noun} has returned",
    ).failure


def gone() -> session_pb2.Failure:
    """The failure of a call to a session that has ended, or never was."""
    return failed(
        session_pb2.ERROR_CODE_SESSION_GONE,
        "this server has no such session: it was started again, or the session has ended. Its "
        "episode is gone; the next reset begins another one in a new session",
    ).failure


def died() -> session_pb2.Failure:
    """The failure of a session whose client process has died."""
    return failed(
        session_pb2.ERROR_CODE_SESSION_GONE,
        "the process of the session's client has died, and the session ended with it",
    ).failure


def lost_for(seconds: float) -> session_pb2.Failure:
    """The failure of a session whose client did not reconnect."""
    return failed(
        session_pb2.ERROR_CODE_SESSION_GONE,
        f"the server kept the session for {seconds:g} s after its connection had broken "
        f"(ServeOptions.resume_timeout_seconds), and ended it then. Its episode is gone; the next "
        f"reset begins another one in a new session",
    ).failure


def idle(seconds: float) -> session_pb2.Failure:
    """The failure of a session that ended because no call arrived."""
    return failed(
        session_pb2.ERROR_CODE_SESSION_GONE,
        f"the server ended the session, as no call came for {seconds:g} s "
        f"(ServeOptions.session_idle_timeout_seconds). Its episode is gone; the next reset begins "
        f"another one in a new session",
    ).failure


def out_of_order(sequence: int, last: int) -> session_pb2.Failure:
    """The failure of a call whose number does not follow the calls before it."""
    return failed(
        session_pb2.ERROR_CODE_PROTOCOL,
        f"call {sequence} does not follow call {last}, which was the last one; a client repeats "
        f"the last call or makes the next one. The session ends",
    ).failure


def not_a_repetition(sequence: int) -> session_pb2.Failure:
    """Of a call that has the number of the last one and is another call."""
    return failed(
        session_pb2.ERROR_CODE_PROTOCOL,
        f"call {sequence} was another call; a client repeats a call as it was, and gives the next "
        f"one a number of its own. The session ends",
    ).failure
