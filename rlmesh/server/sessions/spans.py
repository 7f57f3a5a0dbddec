"""The spans of a server's sessions and of their calls; imported where spans are made."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from typing import Any, TypeAlias

from opentelemetry import context
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.util.types import AttributeValue

from rlmesh.server.failures import failure_of
from rlmesh.server.sessions.endpoint import HotCall
from rlmesh.server.sessions.requests import Request
from rlmesh.tracing import SYSTEM, received
from rlmesh.transports.pipe import Outbox
from rlmesh_api.v1 import session_pb2

Answer: TypeAlias = Callable[[Request, Outbox], tuple[int, int]]
"""Executes a call, and writes the answer."""

# What has a span, and what has one where the client asks for it.
_ALWAYS, _ASKED = ("reset", "predict"), ("step", "step_many", "step_some")
# As semantic conventions have it, a server has not failed where its client was wrong.
_CLIENT_ERRORS = (
    session_pb2.ERROR_CODE_PROTOCOL,
    session_pb2.ERROR_CODE_INVALID_ARGUMENT,
    session_pb2.ERROR_CODE_INVALID_ACTION,
    session_pb2.ERROR_CODE_INVALID_OBSERVATION,
    session_pb2.ERROR_CODE_BUSY,
    session_pb2.ERROR_CODE_DRAINING,
    session_pb2.ERROR_CODE_SESSION_GONE,
)


class SessionSpans:
    """The span of a session, and those of its calls.

    What the client says about its own spans makes them the parents of these. While a call runs, its
    span is the current one: those that an environment makes stand in it.

    Args:
        tracer: Makes the spans.
        service: The full name of the endpoint's service.
        trace: What the request that opens the session carries.
    """

    def __init__(self, tracer: Tracer, service: str, trace: session_pb2.TraceContext) -> None:
        self._tracer = tracer
        self._service = service
        self._span = self._start("session", "Session", received(trace))
        self._inside = set_span_in_context(self._span, Context())
        self._ended = False
        self._id = ""
        # Of the call in progress. The slot's thread sets it, and one that gives a call up reads it.
        self._call: Span | None = None

    def begin(self, session_id: str) -> None:
        """The session has a name."""
        self._id = session_id
        self._span.set_attribute("rlmesh.session.id", session_id)

    def end(self, failure: session_pb2.Failure | None = None) -> None:
        """The session is over, or was refused. May be called repeatedly."""
        if not self._ended:
            self._ended = True
            # A client that closes its session, or leaves it, is no failure.
            if failure is not None and failure.code != session_pb2.ERROR_CODE_SESSION_GONE:
                _note(self._span, failure)
            self._span.end()

    def answering(self, answer: Answer) -> Answer:
        """What executes calls, with a span for some."""

        def traced(request: Request, outbox: Outbox) -> tuple[int, int]:
            message, kind = request.message, request.kind
            carried = message is not None and message.HasField("trace")
            if not (kind in _ALWAYS or (carried and kind in _ASKED)):
                return answer(request, outbox)
            outer = received(message.trace) if carried and message is not None else None
            with self._calling(kind, outer):
                return answer(request, outbox)

        return traced

    def predicting(self, hot: HotCall) -> HotCall:
        """What executes predictions, with a span for each: their clients have none."""

        def traced(sequence: int, payload: Any, outbox: Outbox) -> tuple[int, int]:
            with self._calling("predict", None):
                return hot(sequence, payload, outbox)

        return traced

    def fail_call(self, failure: session_pb2.Failure) -> None:
        """The call in progress is answered with a failure, while it goes on. Any thread may."""
        call = self._call
        if call is not None:
            _note(call, failure)

    @contextlib.contextmanager
    def _calling(self, kind: str, outer: Context | None) -> Generator[None]:
        span = self._call = self._start(kind, kind, self._inside if outer is None else outer)
        token = context.attach(set_span_in_context(span, Context()))
        try:
            yield
        except Exception as error:
            _note(span, failure_of(error))
            raise
        finally:
            context.detach(token)
            self._call = None
            span.end()

    def _start(self, name: str, method: str, outer: Context) -> Span:
        attributes: dict[str, AttributeValue] = {
            "rpc.system.name": SYSTEM,
            "rpc.method": f"{self._service}/{method}",
        }
        if name != "session":
            attributes["rlmesh.session.id"] = self._id
        return self._tracer.start_span(
            f"rlmesh.{name}", outer, kind=SpanKind.SERVER, attributes=attributes
        )


def _note(span: Span, failure: session_pb2.Failure) -> None:
    """Notes a failure in the span of what it ended."""
    code = session_pb2.ErrorCode.Name(failure.code).removeprefix("ERROR_CODE_")
    span.set_attribute("rpc.response.status_code", code)
    span.set_attribute("error.type", failure.exception_type or code)
    if failure.exception_type:
        span.add_event(
            "exception",
            {
                "exception.type": failure.exception_type,
                "exception.message": failure.exception_message,
                "exception.stacktrace": failure.traceback,
            },
        )
    if failure.code not in _CLIENT_ERRORS:
        span.set_status(Status(StatusCode.ERROR, failure.message))
