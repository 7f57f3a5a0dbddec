"""The opening of a session: which clients fit, and the answer when there is no place."""

from __future__ import annotations

from collections.abc import Sequence

from rlmesh.server.failures import failed
from rlmesh.server.sessions.session import Session
from rlmesh.transports.peer import PROTOCOL_GENERATION
from rlmesh_api.v1 import session_pb2

# How many holders the answer to a client without a place names.
_MOST_HOLDERS = 16


def check_generation(generation: int) -> None:
    """Refuses a client that has no protocol generation in common with this server.

    Raises:
        CallFailedError: If there is none in common.
    """
    if generation < 1:
        raise failed(
            session_pb2.ERROR_CODE_INCOMPATIBLE,
            f"the client speaks protocol generation {generation}, this server 1 to "
            f"{PROTOCOL_GENERATION}; upgrade the older of the two",
        )


def check_seconds(call: session_pb2.OpenCall) -> None:
    """Refuses a client that waits for a time that is none.

    Raises:
        CallFailedError: If it does.
    """
    for name in ("wait_seconds", "request_timeout_seconds"):
        seconds: float = getattr(call, name)
        if not seconds >= 0:
            raise failed(
                session_pb2.ERROR_CODE_INVALID_ARGUMENT,
                f"{name} must be a number of seconds from 0, infinity included, got {seconds}",
            )


def busy(
    sessions: Sequence[Session], capacity: int, waited: float, noun: str
) -> session_pb2.Failure:
    """The failure for a client that gets no place.

    Args:
        sessions: The sessions that have the places, the oldest first.
        capacity: How many places there are.
        waited: For how many seconds the client has waited.
        noun: What is served, for the message.
    """
    holders = [session.holder() for session in sessions[:_MOST_HOLDERS]]
    taken = (
        f"another client holds the {noun}"
        if capacity == 1
        else f"all {capacity} sessions of the server are taken"
    )
    return session_pb2.Failure(
        code=session_pb2.ERROR_CODE_BUSY,
        message=f"{taken}, and none became free within {waited:g} s" if waited > 0 else taken,
        holder=holders[0] if holders else None,
        holders=holders,
        capacity=capacity,
    )
