"""Reads a client's request, and writes an answer into an outbox."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from google.protobuf.message import DecodeError

from rlmesh.codec.step.wire import read_action
from rlmesh.server.failures import CallFailedError, failed
from rlmesh.transports.pipe import Outbox
from rlmesh_api.v1 import session_pb2

Answered: TypeAlias = tuple[int, int, bool]
"""The answer's begin and end in its outbox, and whether the session ends with it."""


class Request(NamedTuple):
    """A call.

    Attributes:
        name: Its name on status pages: its kind, or the attribute's name.
        sequence: Its number in the session.
        action: The action's slab, of a step in the fixed form.
        message: The whole call; None for a step in the fixed form.
        kind: The name of its field of `SessionRequest`; `no call` where none is set.
    """

    name: str
    sequence: int
    action: bytes | None = None
    message: session_pb2.SessionRequest | None = None
    kind: str = "step"


def read_request(message: bytes) -> Request:
    """Reads a call.

    Raises:
        DecodeError: If it is no message.
    """
    step = read_action(message)
    if step is not None:
        return Request("step", step[0], step[1])
    request = session_pb2.SessionRequest.FromString(message)
    kind: str = request.WhichOneof("call") or "no call"
    return Request(
        request.attribute.name if kind == "attribute" else kind,
        request.sequence,
        message=request,
        kind=kind,
    )


def damaged(error: DecodeError) -> CallFailedError:
    """The failure for a message that cannot be read."""
    return failed(session_pb2.ERROR_CODE_PROTOCOL, f"the message cannot be read: {error}")


def failed_so(sequence: int, failure: session_pb2.Failure) -> session_pb2.SessionResponse:
    """A failure as an answer."""
    return session_pb2.SessionResponse(sequence=sequence, failure=failure)


def write_answer(response: session_pb2.SessionResponse, outbox: Outbox) -> tuple[int, int]:
    """Writes an answer; returns its begin and end."""
    message = response.SerializeToString()
    start = outbox.reserved
    end = start + len(message)
    outbox.reserve(end)[start:end] = message
    return start, end
