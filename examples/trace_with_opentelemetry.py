"""See sessions, resets and episodes of client and server in one trace of OpenTelemetry.

    python trace_with_opentelemetry.py

It needs `pip install opentelemetry-sdk`. A program that keeps its spans has an `OTLPSpanExporter`
and a `BatchSpanProcessor` here.
"""

from __future__ import annotations

import gymnasium as gym
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import rlmesh

# Before the first client and server of this process; mostly they are in two, with one each.
exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)

with rlmesh.EnvServer(gym.make("CartPole-v1")) as server, rlmesh.RemoteEnv(server.address) as env:
    observation, info = env.reset(seed=0)
    over = False
    while not over:
        observation, reward, terminated, truncated, info = env.step(1)
        over = terminated or truncated

spans = {span.context.span_id: span for span in exporter.get_finished_spans() if span.context}
for span in spans.values():
    parent = spans[span.parent.span_id].name if span.parent else "nothing"
    print(f"{span.name} ({span.kind.name.lower()}), in {parent}: {span.status.status_code.name}")
    if span.name == "rlmesh.episode" and span.attributes:
        print("  ended after", span.attributes["rlmesh.episode.length"], "steps")
