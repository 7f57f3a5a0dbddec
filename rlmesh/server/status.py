"""What a server and its sessions are doing at this moment."""

from __future__ import annotations

import time
from collections.abc import Container

from rlmesh.server.sessions.endpoint import Slot
from rlmesh.server.sessions.manager import SessionManager
from rlmesh.server.sessions.session import Session
from rlmesh_api.v1 import env_service_pb2


def status_of(manager: SessionManager) -> env_service_pb2.GetStatusResponse:
    """The state, the sessions and the longest call in progress. Any thread may ask."""
    status = env_service_pb2.GetStatusResponse(
        state=env_service_pb2.SERVER_STATE_READY, capacity=manager.capacity
    )
    slots = manager.slots()
    if slots and not any(slot.thread.ready for slot in slots):
        status.state = env_service_pb2.SERVER_STATE_STARTING
    sessions = manager.sessions()
    statuses = {id(session.slot): _status_of_session(session) for session in sessions}
    status.sessions.extend(statuses.values())
    first = _longest(slots, statuses)
    if first is None:
        first = sessions[0].slot if sessions else None
    if first is not None:
        # A server that ends may be in a call without a session.
        call = statuses.get(id(first)) or _status_of_slot(first)
        if call.call:
            status.state = env_service_pb2.SERVER_STATE_BUSY
        status.call, status.sequence, status.stack = call.call, call.sequence, call.stack
        status.busy_seconds = call.busy_seconds
        if call.HasField("holder"):
            status.holder.CopyFrom(call.holder)
    if manager.draining:
        status.state = env_service_pb2.SERVER_STATE_DRAINING
    return status


def _longest(slots: list[Slot], of_sessions: Container[int]) -> Slot | None:
    """The slot that has been in a call for longest; one of a session before a model's own.

    The thread of a model may execute the calls of a session, and then both are in the same call.
    """
    running = [
        (call.since, id(slot) not in of_sessions, slot)
        for slot in slots
        if (call := slot.thread.running) is not None
    ]
    return min(running, key=lambda each: each[:2])[2] if running else None


def _status_of_slot(slot: Slot) -> env_service_pb2.SessionStatus:
    status = env_service_pb2.SessionStatus()
    running = slot.thread.running
    if running is not None:
        status.call = running.name
        status.sequence = running.sequence
        status.busy_seconds = time.monotonic() - running.since
        status.stack = slot.stack()
    return status


def _status_of_session(session: Session) -> env_service_pb2.SessionStatus:
    status = _status_of_slot(session.slot)
    status.session_id = session.id
    status.holder.CopyFrom(session.holder())
    status.transport = session.transport
    status.idle_seconds = session.idle_seconds()
    status.failures = session.failures
    backend = session.slot.made
    if backend is not None:
        status.calls = backend.timings.calls
        for kind, count in sorted(backend.deviations().items()):
            status.deviations.add(kind=kind, count=count)
    return status
