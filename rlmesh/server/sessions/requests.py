"""Reads a client's request, and writes an answer into an outbox."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

from google.protobuf.message import DecodeError

from rlmesh.server.failures import CallFailedError, failed
from rlmesh.server.sessions.kind import EndpointKind
from rlmesh.transports.pipe import Outbox
from rlmesh_api.v1 import session_pb2

Answered: TypeAlias = tuple[int, int, bool]
"""The answer's begin and end in its outbox, and whether the session ends with it."""


class Request(NamedTuple):
    """A call.

    Attributes:
        name: Its name on status pages: its kind, or the attribute's name.
        sequence: Its number in the session.
        kind: The name of its field of `SessionRequest`; `no call` where none is set.
        payload: What the hot call is given, of a hot call in the fixed form; else None.
        message: The whole call; None for a hot call in the fixed form.
    """

    name: str
    sequence: int
    kind: str
    payload: Any = None
    message: session_pb2.SessionRequest | None = None


def read_request(message: bytes, kind: EndpointKind) -> Request:
    """Reads a call to an endpoint of a kind.

    Raises:
        DecodeError: If it is no message.
    """
    hot = kind.read_hot(message)
    if hot is not None:
        return Request(kind.hot_call, hot[0], kind.hot_call, hot[1])
    request = session_pb2.SessionRequest.FromString(message)
    call: str = request.WhichOneof("call") or "no call"
    return Request(
        request.attribute.name if call == "attribute" else call,
        request.sequence,
        call,
        message=request,
    )


def damaged(error: DecodeError) -> CallFailedError:
    """The failure for a message that cannot be read."""
    return failed(session_pb2.ERROR_CODE_PROTOCOL, f"the message cannot be read: {error}")


def failed_so(sequence: int, failure: session_pb2.Failure) -> session_pb2.SessionResponse:
    """A failure as an answer."""
    return session_pb2.SessionResponse(sequence=sequence, failure=failure)


def write_answer(response: session_pb2.SessionResponse, outbox: Outbox) -> tuple[int, int]:
    """Writes an answer; returns its begin and end."""
    return write_parts((response.SerializeToString(),), outbox)


def write_parts(parts: Sequence[bytes], outbox: Outbox) -> tuple[int, int]:
    """Writes an answer that consists of these parts; returns its begin and end."""
    at = start = outbox.reserved
    end = start + sum(map(len, parts))
    buffer = outbox.reserve(end)
    for part in parts:
        buffer[at : at + len(part)] = part
        at += len(part)
    return start, end
