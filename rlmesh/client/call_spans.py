"""The spans of a client's session and of its calls; imported where spans are made."""

from __future__ import annotations

import atexit
import contextlib
import weakref
from collections.abc import Callable, Generator, Mapping
from typing import NamedTuple

from opentelemetry import context
from opentelemetry.trace import (
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.util.types import AttributeValue

from rlmesh.address import Address, TcpAddress
from rlmesh.tracing import SYSTEM, sent
from rlmesh_api.v1 import session_pb2


class Scope(NamedTuple):
    """A span that others stand in.

    Attributes:
        span: The span.
        outer: The span of the caller's that was the current one when it began.
    """

    span: Span
    outer: SpanContext


class CallSpans:
    """The spans of one client: of its sessions, one after the other, and of its calls.

    A span is a child of the span that the caller has made current since the session, or the
    episode, began; or else of that of the session or the episode. One thread makes the calls; `end`
    may run on any.

    Args:
        tracer: Makes the spans.
        address: The endpoint's address.
        service: The full name of its service.

    Attributes:
        at_end: Called before the session's span ends.
    """

    def __init__(self, tracer: Tracer, address: Address, service: str) -> None:
        self.at_end: Callable[[], None] | None = None
        self._tracer = tracer
        self._service = service
        self._attributes: dict[str, AttributeValue] = {"rpc.system.name": SYSTEM}
        if isinstance(address, TcpAddress):
            self._attributes["server.address"] = address.host
            self._attributes["server.port"] = address.port
        else:
            self._attributes["server.address"] = address.path
        self._session: Scope | None = None
        self._call: Span | None = None
        _made.add(self)

    def begin_session(self, request: session_pb2.SessionRequest) -> None:
        """A session is about to be opened by a request, which carries its span."""
        self.end_session(None)
        span = self._tracer.start_span(
            "rlmesh.session",
            kind=SpanKind.CLIENT,
            attributes={**self._attributes, "rpc.method": f"{self._service}/Session"},
        )
        self._session = Scope(span, _current())
        request.trace.CopyFrom(sent(span))

    def opened(self, session_id: str, transport: str) -> None:
        """The session has been opened."""
        self._attributes["rlmesh.session.id"] = session_id
        if self._session is not None:
            attributes = {"rlmesh.session.id": session_id, "rlmesh.transport": transport}
            self._session.span.set_attributes(attributes)

    def end(self) -> None:
        """The client is closed. May be called repeatedly, by any thread."""
        if self.at_end is not None:
            self.at_end()
        self.end_call(None)
        self.end_session(None)

    def end_session(self, error: BaseException | None) -> None:
        """The session is over, or could not be opened."""
        session, self._session = self._session, None
        if session is not None:
            end_span(session.span, error)

    def begin_call(self, name: str, scope: Scope | None = None) -> None:
        """A call begins.

        Args:
            name: Its name in the schema.
            scope: The episode that it belongs to; None: only the session.
        """
        self.end_call(None)
        self._call = self.start(
            name,
            scope,
            SpanKind.CLIENT,
            {**self._attributes, "rpc.method": f"{self._service}/{name}"},
        )

    def carried(self) -> session_pb2.TraceContext | None:
        """What the request of the call in progress carries; None where no call has a span."""
        return None if self._call is None else sent(self._call)

    def end_call(self, error: BaseException | None) -> None:
        """The call has been answered, or was given up."""
        call, self._call = self._call, None
        if call is not None:
            end_span(call, error)

    @contextlib.contextmanager
    def ending_call(self) -> Generator[None]:
        """The call ends with the block."""
        try:
            yield
        except BaseException as error:
            self.end_call(error)
            raise
        self.end_call(None)

    @contextlib.contextmanager
    def failing_call(self) -> Generator[None]:
        """The call ends with an error of the block."""
        try:
            yield
        except BaseException as error:
            self.end_call(error)
            raise

    def begin_episode(self, attributes: Mapping[str, AttributeValue]) -> Scope:
        """The span of an episode that begins, which the caller ends."""
        of_session = "rlmesh.session.id"
        if of_session in self._attributes:
            attributes = {of_session: self._attributes[of_session], **attributes}
        return Scope(self.start("episode", None, SpanKind.INTERNAL, attributes), _current())

    def start(
        self,
        name: str,
        scope: Scope | None,
        kind: SpanKind,
        attributes: Mapping[str, AttributeValue],
    ) -> Span:
        """A span of this session, or of a part of it."""
        inner = scope or self._session
        caller = context.get_current()
        if inner is not None and _current() == inner.outer:
            caller = set_span_in_context(inner.span)
        return self._tracer.start_span(
            f"rlmesh.{name}", caller, kind=kind, attributes=dict(attributes)
        )


def end_span(span: Span, error: BaseException | None) -> None:
    """Ends a span, with what went wrong if something did."""
    if error is not None:
        span.record_exception(error)
        kind = type(error)
        span.set_attribute("error.type", f"{kind.__module__}.{kind.__qualname__}")
        span.set_status(Status(StatusCode.ERROR, str(error)))
    span.end()


def _current() -> SpanContext:
    return get_current_span().get_span_context()


_made: weakref.WeakSet[CallSpans] = weakref.WeakSet()


def _at_exit() -> None:
    """Ends what has not ended: a provider that is shut down exports nothing more.

    A provider shuts itself down at the exit, after what was registered later than it was made.
    """
    for spans in list(_made):
        spans.end()


atexit.register(_at_exit)
