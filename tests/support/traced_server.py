"""A program that serves and writes its spans: `python -m support.traced_server WHAT FILE`.

It prints its address when it is bound, ends by a signal, and writes one line of JSON for each span.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import gymnasium
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

import rlmesh
from support.models import OfOne


class Opaque(gymnasium.Env[Any, Any]):
    """Makes a span of its own in each reset, and raises on the action 1."""

    observation_space = gymnasium.spaces.Discrete(2)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[int, dict[str, Any]]:
        with trace.get_tracer("env").start_as_current_span("load the scene"):
            if options:
                raise RuntimeError("no such scene")
        return 0, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        return 0, 1.0, False, False, {}


def _line(span: ReadableSpan) -> str:
    return f"{span.to_json(indent=None)}\n"


def main(what: str, file: Path) -> None:
    """Serves until a signal."""
    with file.open("a", buffering=1) as out:
        provider = TracerProvider()
        exporter = ConsoleSpanExporter(out=out, formatter=_line)
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        trace.set_tracer_provider(provider)
        direct = "tcp://127.0.0.1:0"
        server: Any
        if what == "model":
            server = rlmesh.ModelWorker(OfOne(), "tcp://127.0.0.1:0", direct=direct)
        else:
            isolated: Any = {"isolation": "process"}
            env, options = (Opaque, isolated) if what == "isolated" else (Opaque(), {})
            server = rlmesh.EnvServer(env, "tcp://127.0.0.1:0", direct=direct, **options)
        print(server.address, flush=True)  # noqa: T201 - the line that the test waits for
        server.serve()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
