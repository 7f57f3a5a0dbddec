"""Spans of OpenTelemetry, where this process has configured a tracer provider."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from rlmesh._version import __version__
from rlmesh.errors import InvalidArgumentError
from rlmesh_api.v1 import session_pb2

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

__all__ = ["SYSTEM", "configured_tracer", "received", "sent", "steps_are_traced"]

SYSTEM = "rlmesh"
"""The attribute `rpc.system.name` of every span."""

_VARIABLE = "RLMESH_TRACE_STEPS"
# How many characters of a header are read: W3C Trace Context has 55, and 512 at least.
_LONGEST_HEADER = 512


def configured_tracer() -> Tracer | None:
    """What makes the spans; None where this process has no tracer provider.

    OpenTelemetry is not imported for it: a program that has a provider has imported it.
    """
    if "opentelemetry.trace" not in sys.modules:
        return None
    from opentelemetry import trace

    provider = trace.get_tracer_provider()
    if isinstance(provider, (trace.ProxyTracerProvider, trace.NoOpTracerProvider)):
        return None
    tracer = provider.get_tracer("rlmesh", __version__)
    # As of an SDK that OTEL_SDK_DISABLED switches off.
    return None if isinstance(tracer, trace.NoOpTracer) else tracer


def steps_are_traced() -> bool:
    """Whether `RLMESH_TRACE_STEPS` asks for a span of each step.

    Raises:
        InvalidArgumentError: If it is an unknown word.
    """
    word = os.environ.get(_VARIABLE, "")
    if word not in ("", "0", "1"):
        raise InvalidArgumentError(f"{_VARIABLE} must be 0 or 1, got {word!r:.80}")
    return word == "1"


def sent(span: Span) -> session_pb2.TraceContext:
    """How a call says to the server which span it belongs to."""
    from opentelemetry.trace import set_span_in_context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    headers: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(headers, set_span_in_context(span))
    return session_pb2.TraceContext(**headers)


def received(trace: session_pb2.TraceContext) -> Context:
    """The context of the span that a call belongs to; an empty one where that cannot be read."""
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    headers = {
        name: header
        for name, header in (("traceparent", trace.traceparent), ("tracestate", trace.tracestate))
        if 0 < len(header) <= _LONGEST_HEADER
    }
    return TraceContextTextMapPropagator().extract(headers, Context())
