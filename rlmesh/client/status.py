"""What a server and its sessions are doing, as `GetStatus` reports it."""

from __future__ import annotations

from dataclasses import dataclass

from rlmesh.errors import CallTimeoutError, EndpointUnreachableError
from rlmesh.foreign_text import one_line, paragraphs
from rlmesh.transports.peer import Holder
from rlmesh_api.v1 import env_service_pb2, session_pb2

# How many lines of a stack an error shows: two for each frame.
_SHOWN_LINES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStatus:
    """What one session is doing.

    Attributes:
        id: Its name in logs.
        holder: Who holds it, and since when.
        transport: The transport that its calls come by; empty before the first one.
        call: The call that its environment is in; empty unless it is in one.
        sequence: That call's number; 0 unless it is in one.
        busy_seconds: For how many seconds it has been in that call; 0 unless it is in one.
        stack: Where in the code it is, the innermost frame last; empty unless it is in a call.
        idle_seconds: For how many seconds no call has come; 0 in a call.
        calls: How many calls were executed.
        failures: How many of them failed.
        deviations: How often values were out of their space, by kind.
    """

    id: str
    holder: Holder
    transport: str
    call: str
    sequence: int
    busy_seconds: float
    stack: str
    idle_seconds: float
    calls: int
    failures: int
    deviations: dict[str, int]

    @classmethod
    def from_proto(cls, answer: env_service_pb2.SessionStatus) -> SessionStatus:
        """Reads a server's answer."""
        return cls(
            id=answer.session_id,
            holder=Holder.from_proto(answer.holder),
            transport=answer.transport,
            call=answer.call,
            sequence=answer.sequence,
            busy_seconds=answer.busy_seconds,
            stack=answer.stack,
            idle_seconds=answer.idle_seconds,
            calls=answer.calls,
            failures=answer.failures,
            deviations={count.kind: count.count for count in answer.deviations},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStatus:
    """What one model of a server is doing.

    Attributes:
        name: Its name.
        version: Its version, from 1.
        ready: Whether it is warmed up.
        queue_length: How many requests wait for it.
        call: The call that it is in; empty unless it is in one.
        busy_seconds: For how many seconds it has been in that call; 0 unless it is in one.
        stack: Where in the code it is, the innermost frame last; empty unless it is in a call.
    """

    name: str
    version: int
    ready: bool
    queue_length: int
    call: str
    busy_seconds: float
    stack: str

    @classmethod
    def from_proto(cls, answer: env_service_pb2.ModelStatus) -> ModelStatus:
        """Reads a server's answer."""
        return cls(
            name=answer.name,
            version=answer.version,
            ready=answer.ready,
            queue_length=answer.queue_length,
            call=answer.call,
            busy_seconds=answer.busy_seconds,
            stack=answer.stack,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointStatus:
    """What a server is doing.

    Attributes:
        state: `starting`, `ready`, `busy` or `draining`; `unknown` where a later version says
            something else.
        call: The call that the environment is in; empty unless it is in one. Of several sessions
            this field and the next three describe the one whose call has lasted longest.
        sequence: That call's number in its session; 0 unless it is in one of a session.
        busy_seconds: For how many seconds it has been in that call; 0 unless it is in one.
        stack: Where in the code it is, the innermost frame last; empty unless it is in a call.
        holder: Who holds the environment; None where no client does.
        sessions: The sessions, those first that have lasted longest.
        capacity: How many there can be at once; 0 where the server does not say.
        server: The server; None where it does not say.
        protocol_generation: The highest protocol generation that it speaks; 0 where it does not
            say.
        serving_seconds: For how many seconds it has answered.
        models: The models, by name; none at an environment.
        agents: The names of all agents of an environment of many agents; none at any other.
    """

    state: str
    call: str
    sequence: int
    busy_seconds: float
    stack: str
    holder: Holder | None
    sessions: tuple[SessionStatus, ...]
    capacity: int
    server: session_pb2.Peer | None
    protocol_generation: int
    serving_seconds: float
    models: tuple[ModelStatus, ...]
    agents: tuple[str, ...]

    @classmethod
    def from_proto(cls, answer: env_service_pb2.GetStatusResponse) -> EndpointStatus:
        """Reads a server's answer."""
        return cls(
            state=_state_name(answer.state),
            call=answer.call,
            sequence=answer.sequence,
            busy_seconds=answer.busy_seconds,
            stack=answer.stack,
            holder=Holder.from_proto(answer.holder) if answer.HasField("holder") else None,
            sessions=tuple(map(SessionStatus.from_proto, answer.sessions)),
            capacity=answer.capacity,
            server=answer.server if answer.HasField("server") else None,
            protocol_generation=answer.protocol_generation,
            serving_seconds=answer.serving_seconds,
            models=tuple(map(ModelStatus.from_proto, answer.models)),
            agents=tuple(answer.agents),
        )

    def of(self, session_id: str) -> EndpointStatus | SessionStatus:
        """What one session is doing; where it is not among them, what the server is."""
        return next((each for each in self.sessions if each.id == session_id), self)


def explain(
    error: CallTimeoutError | EndpointUnreachableError,
    status: EndpointStatus | None,
    session_id: str,
) -> None:
    """Adds to an error what the server was doing instead of answering, if it reports that."""
    if status is None:
        return
    error.status = status
    error.args = (f"{error}. {_reason(status, session_id)}",)


def _reason(status: EndpointStatus, session_id: str) -> str:
    found = status.of(session_id)
    if not found.call:
        what = f"The server answers, and is {status.state}"
        return what if status.holder is None else f"{what}; it is held by {status.holder}"
    lines = paragraphs(found.stack.rstrip()).splitlines()
    shown = lines[-_SHOWN_LINES:]
    call, noun = one_line(found.call), "model" if status.models else "environment"
    more = [] if len(shown) == len(lines) else ["  ..."]
    return "\n".join(
        [
            f"The {noun} has been in {call} for {found.busy_seconds:.1f} s, at",
            *more,
            *shown,
        ]
    )


def _state_name(state: int) -> str:
    if state in env_service_pb2.ServerState.values():
        name = env_service_pb2.ServerState.Name(env_service_pb2.ServerState.ValueType(state))
        return name.removeprefix("SERVER_STATE_").lower()
    return "unknown"
