"""What a client asks for that opens a session, and what it is told where there is no place."""

from __future__ import annotations

from collections.abc import Sequence

from rlmesh.server.failures import failed
from rlmesh.server.sessions.session import Session
from rlmesh.transports.peer import PROTOCOL_GENERATION
from rlmesh_api.v1 import session_pb2

# How many holders a client is told of for whom there is no place.
_MOST_HOLDERS = 16


def check_generation(generation: int) -> None:
    """Refuses a client with which this server has no protocol generation in common.

    Raises:
        CallFailedError: If it is one.
    """
    if generation < 1:
        raise failed(
            session_pb2.ERROR_CODE_INCOMPATIBLE,
            f"the client speaks protocol generation {generation}, this server 1 to "
            f"{PROTOCOL_GENERATION}; upgrade the older of the two",
        )


def busy(sessions: Sequence[Session], capacity: int, waited: float) -> session_pb2.Failure:
    """The failure of whom there is no place for.

    Args:
        sessions: Those that have the places, those first that have lasted longest.
        capacity: How many places there are.
        waited: For how many seconds the client has waited.
    """
    holders = [session.holder() for session in sessions[:_MOST_HOLDERS]]
    taken = (
        "another client holds the environment"
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
