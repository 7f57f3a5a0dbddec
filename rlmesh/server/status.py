"""What a server and its sessions are doing at this moment."""

from __future__ import annotations

import time

from rlmesh.server.desk import Desk
from rlmesh.server.room import Room
from rlmesh.server.session import Session
from rlmesh_api.v1 import env_service_pb2


def status_of(desk: Desk) -> env_service_pb2.GetStatusResponse:
    """The state, the sessions and the call that has lasted longest; it waits for nobody."""
    status = env_service_pb2.GetStatusResponse(
        state=env_service_pb2.SERVER_STATE_READY, capacity=desk.capacity
    )
    rooms = desk.rooms()
    if rooms and not any(room.host.ready for room in rooms):
        status.state = env_service_pb2.SERVER_STATE_STARTING
    sessions = desk.sessions()
    told = {id(session.room): _status_of_session(session) for session in sessions}
    status.sessions.extend(told.values())
    first = _longest(rooms)
    if first is None:
        first = sessions[0].room if sessions else None
    if first is not None:
        # A server that ends may be in a call without a session.
        call = told.get(id(first)) or _status_of_room(first)
        if call.call:
            status.state = env_service_pb2.SERVER_STATE_BUSY
        status.call, status.sequence, status.stack = call.call, call.sequence, call.stack
        status.busy_seconds = call.busy_seconds
        if call.HasField("holder"):
            status.holder.CopyFrom(call.holder)
    if desk.draining:
        status.state = env_service_pb2.SERVER_STATE_DRAINING
    return status


def _longest(rooms: list[Room]) -> Room | None:
    """The room that has been in a call for longest."""
    running = [(call.since, room) for room in rooms if (call := room.host.running) is not None]
    return min(running, key=lambda each: each[0])[1] if running else None


def _status_of_room(room: Room) -> env_service_pb2.SessionStatus:
    status = env_service_pb2.SessionStatus()
    running = room.host.running
    if running is not None:
        status.call = running.name
        status.sequence = running.sequence
        status.busy_seconds = time.monotonic() - running.since
        status.stack = room.stack()
    return status


def _status_of_session(session: Session) -> env_service_pb2.SessionStatus:
    status = _status_of_room(session.room)
    status.session_id = session.id
    status.holder.CopyFrom(session.holder())
    status.lane = session.lane
    status.idle_seconds = session.idle_seconds()
    status.failures = session.failures
    tenant = session.room.made
    if tenant is not None:
        status.calls = tenant.costs.calls
        for kind, count in sorted(tenant.deviations().items()):
            status.deviations.add(kind=kind, count=count)
    return status
