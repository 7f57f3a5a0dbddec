"""What a server is doing, for a person to read and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from rlmesh.client.status import EndpointStatus, ModelStatus, SessionStatus
from rlmesh.foreign_text import one_line, paragraphs
from rlmesh.transports.peer import Holder, describe
from rlmesh_api.v1 import session_pb2

_STATE_STYLES = {"ready": "green", "busy": "yellow", "draining": "red"}


def status_view(found: EndpointStatus, address: str) -> Table:
    """A table of what a server and its sessions are doing."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _rows(found, address):
        style = _STATE_STYLES.get(value, "") if name == "state" else ""
        table.add_row(name, Text(paragraphs(value), style=style))
    return table


def _rows(found: EndpointStatus, address: str) -> Iterator[tuple[str, str]]:
    yield "address", address
    if found.server is not None:
        yield "server", introduce(found.server)
        yield "protocol", f"generation {found.protocol_generation}"
        yield "serving", f"for {found.serving_seconds:.1f} s"
    yield "state", found.state
    if found.capacity:
        yield "sessions", f"{len(found.sessions)} of {found.capacity}"
    if found.agents:
        yield "agents", one_line(", ".join(found.agents))
    for model in found.models:
        yield from _model(model)
    if len(found.sessions) <= 1:
        yield "held by", str(found.holder) if found.holder else "nobody"
    if not found.sessions:
        yield from _call(found)
    for session in found.sessions:
        if len(found.sessions) > 1:
            yield f"session {one_line(session.id)}", str(session.holder)
        yield from _session(session)


def _model(model: ModelStatus) -> Iterator[tuple[str, str]]:
    state = "ready" if model.ready else "not ready"
    yield (
        f"model {one_line(model.name)}",
        f"{state}, version {model.version}, {model.queue_length} requests wait",
    )
    if model.call:
        yield "in call", f"{one_line(model.call)}, for {model.busy_seconds:.1f} s"
        yield "at", model.stack.rstrip()


def _session(session: SessionStatus) -> Iterator[tuple[str, str]]:
    if session.transport:
        yield "transport", one_line(session.transport)
    yield "calls", f"{session.calls}, of which {session.failures} failed"
    if session.deviations:
        counts = (f"{one_line(kind)} {count}" for kind, count in session.deviations.items())
        yield "deviations", ", ".join(counts)
    if session.call:
        yield from _call(session)
    else:
        yield "idle", f"for {session.idle_seconds:.1f} s"


def _call(found: EndpointStatus | SessionStatus) -> Iterator[tuple[str, str]]:
    if found.call:
        number = f"number {found.sequence} of its session"
        yield "in call", f"{one_line(found.call)}, {number}, for {found.busy_seconds:.1f} s"
        yield "at", found.stack.rstrip()


def introduce(server: session_pb2.Peer) -> str:
    """A server in a sentence."""
    found = f"{describe(server)}, RLMesh {one_line(server.version)}"
    return f"{found}, {one_line(server.implementation)}" if server.implementation else found


def status_dict(found: EndpointStatus) -> dict[str, Any]:
    """The same as JSON has it."""
    server = found.server
    return {
        "state": found.state,
        **_call_dict(found),
        "holder": None if found.holder is None else _holder_dict(found.holder),
        "sessions": [_session_dict(session) for session in found.sessions],
        **({"models": [asdict(model) for model in found.models]} if found.models else {}),
        **({"agents": list(found.agents)} if found.agents else {}),
        "capacity": found.capacity or None,
        "server": None
        if server is None
        else {
            "name": server.name,
            "pid": server.pid,
            "host": server.host,
            "version": server.version,
            "protocol_generation": found.protocol_generation,
            "serving_seconds": found.serving_seconds,
        },
    }


def _session_dict(session: SessionStatus) -> dict[str, Any]:
    return {
        "id": session.id,
        "holder": _holder_dict(session.holder),
        "transport": session.transport or None,
        **_call_dict(session),
        "idle_seconds": None if session.call else session.idle_seconds,
        "calls": session.calls,
        "failures": session.failures,
        "deviations": session.deviations,
    }


def _call_dict(found: EndpointStatus | SessionStatus) -> dict[str, Any]:
    return {
        "call": found.call or None,
        "sequence": found.sequence or None,
        "busy_seconds": found.busy_seconds if found.call else None,
        "stack": found.stack or None,
    }


def _holder_dict(holder: Holder) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "name": holder.name,
        "pid": holder.pid,
        "host": holder.host,
        "version": holder.version,
        "seconds": holder.seconds,
    }
    return (
        fields if holder.lost_seconds is None else {**fields, "lost_seconds": holder.lost_seconds}
    )
