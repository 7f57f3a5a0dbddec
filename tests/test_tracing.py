"""Spans of OpenTelemetry, in a client's process and in that of its server."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NoOpTracerProvider

import rlmesh
from rlmesh.errors import (
    EndpointBusyError,
    InvalidArgumentError,
    InvalidObservationError,
    RemoteEnvError,
)
from rlmesh.tracing import received
from rlmesh_api.v1 import session_pb2
from support.models import observation
from support.sample_envs import make
from support.serving import serving, start_python


@dataclass(frozen=True)
class Seen:
    """A span, as an exporter gives it.

    Attributes:
        name: Its name and kind.
        trace: The id of its trace.
        id: Its own id.
        parent: That of its parent; empty where it has none.
        attributes: Its attributes.
        status: Its status.
        events: The names of its events.
    """

    name: str
    trace: str
    id: str
    parent: str
    attributes: dict[str, Any]
    status: str
    events: list[str]


def seen(span: ReadableSpan | str) -> Seen:
    found = json.loads(span if isinstance(span, str) else span.to_json())
    return Seen(
        f"{found['name']} {found['kind'].removeprefix('SpanKind.')}",
        found["context"]["trace_id"],
        found["context"]["span_id"],
        found["parent_id"] or "",
        found["attributes"],
        found["status"]["status_code"],
        [event["name"] for event in found["events"]],
    )


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """What the provider of this process exports; the tests beside this one have none."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    return exporter


@contextlib.contextmanager
def traced_server(what: str, file: Path) -> Generator[str]:
    """Serves from a process that writes its spans to a file; gives the address."""
    arguments = ["-W", "error", "-m", "support.traced_server", what, str(file)]
    with start_python(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            assert address
            yield address
        finally:
            process.terminate()
            assert process.wait(20) == 0


def tree(found: list[Seen]) -> list[tuple[str, str]]:
    """Each span with its parent's name, sorted."""
    names = {each.id: each.name for each in found}
    return sorted((each.name, names.get(each.parent, each.parent)) for each in found)


TREE = [
    ("load the scene INTERNAL", "rlmesh.reset SERVER"),
    ("rlmesh.episode INTERNAL", "rlmesh.session CLIENT"),
    ("rlmesh.reset CLIENT", "rlmesh.episode INTERNAL"),
    ("rlmesh.reset SERVER", "rlmesh.reset CLIENT"),
    ("rlmesh.session CLIENT", "user INTERNAL"),
    ("rlmesh.session SERVER", "rlmesh.session CLIENT"),
    ("user INTERNAL", ""),
]


@pytest.mark.parametrize("transport", ["shm", "direct", "grpc"])
def test_one_trace_holds_the_spans_of_a_client_and_of_its_server(
    transport: Literal["shm", "direct", "grpc"], spans: InMemorySpanExporter, tmp_path: Path
) -> None:
    file = tmp_path / "spans"
    with (
        traced_server("env", file) as address,
        trace.get_tracer("test").start_as_current_span("user"),
    ):
        env = rlmesh.RemoteEnv(address, transport=transport)
        assert env.transport == transport
        env.reset(seed=3)
        env.step(0)
        env.step(0)
        with pytest.raises(RemoteEnvError):
            env.reset(options={"scene": 7})
        env.close()
    here = [seen(span) for span in spans.get_finished_spans()]
    there = [seen(line) for line in file.read_text().splitlines()]
    assert len({each.trace for each in here + there}) == 1
    twice = [pair for pair in TREE if "session" not in pair[0] and "user" not in pair[0]]
    assert tree(here + there) == sorted(TREE + twice)
    for each in here + there:
        assert each.attributes.get("rpc.system.name", "rlmesh") == "rlmesh"
    good, bad = (each for each in here if each.name == "rlmesh.episode INTERNAL")
    assert (good.status, good.attributes["rlmesh.episode.end"]) == ("UNSET", "reset")
    assert good.attributes["rlmesh.episode.length"] == good.attributes["rlmesh.episode.return"] == 2
    assert (bad.status, bad.attributes["error.type"]) == ("ERROR", "rlmesh.errors.RemoteEnvError")
    (_, ours), (_, theirs) = (
        [each for each in found if each.name.startswith("rlmesh.reset")] for found in (here, there)
    )
    assert (ours.status, ours.attributes["error.type"]) == ("ERROR", "rlmesh.errors.RemoteEnvError")
    assert (theirs.status, theirs.attributes["error.type"]) == ("ERROR", "RuntimeError")
    assert ours.events == theirs.events == ["exception"]
    assert theirs.attributes["rpc.response.status_code"] == "ENVIRONMENT"
    assert theirs.attributes["rpc.method"] == "rlmesh_api.v1.EnvService/reset"
    assert f"tcp://{ours.attributes['server.address']}:{ours.attributes['server.port']}" == address


def test_the_reset_of_an_isolated_environment_has_its_span_in_the_server(
    spans: InMemorySpanExporter, tmp_path: Path
) -> None:
    file = tmp_path / "spans"
    with traced_server("isolated", file) as address:
        with contextlib.closing(rlmesh.RemoteEnv(address)) as env:
            for _ in range(2):
                env.reset()
                env.step(0)
    there = [seen(line) for line in file.read_text().splitlines()]
    assert [each.name for each in there] == 2 * ["rlmesh.reset SERVER"] + ["rlmesh.session SERVER"]
    assert {each.trace for each in there} == {
        seen(span).trace for span in spans.get_finished_spans()
    }


@pytest.mark.parametrize("transport", ["shm", "direct", "grpc"])
def test_a_prediction_has_a_span_on_either_side(
    transport: Literal["shm", "direct", "grpc"], spans: InMemorySpanExporter, tmp_path: Path
) -> None:
    file = tmp_path / "spans"
    with traced_server("model", file) as address:
        with contextlib.closing(rlmesh.RemoteModel(address, transport=transport)) as model:
            local = model.predict(observation())
            # A request of another service, which the prediction is a part of.
            with trace.get_tracer("test").start_as_current_span("user"):
                np.testing.assert_array_equal(model.predict(observation()), local)
            with pytest.raises(InvalidObservationError):
                model.predict({"image": 0, "state": 0})
    here = [seen(span) for span in spans.get_finished_spans()]
    there = [seen(line) for line in file.read_text().splitlines()]
    assert tree(here + there) == [
        ("rlmesh.predict CLIENT", "rlmesh.session CLIENT"),
        ("rlmesh.predict CLIENT", "rlmesh.session CLIENT"),
        ("rlmesh.predict CLIENT", "user INTERNAL"),
        ("rlmesh.predict SERVER", "rlmesh.predict CLIENT"),
        ("rlmesh.predict SERVER", "rlmesh.predict CLIENT"),
        ("rlmesh.session CLIENT", ""),
        ("rlmesh.session SERVER", "rlmesh.session CLIENT"),
        ("user INTERNAL", ""),
    ]
    assert [each.status for each in here if "predict" in each.name] == ["UNSET", "UNSET", "ERROR"]


def test_steps_have_spans_where_they_are_asked_for(
    spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLMESH_TRACE_STEPS", "1")
    with serving(gymnasium.make("CartPole-v1")) as server:
        with contextlib.closing(rlmesh.RemoteEnv(server.address)) as env:
            env.reset(seed=0)
            env.step(0)
            env.step_many([1, 0])
    found = tree([seen(span) for span in spans.get_finished_spans()])
    for name in ("step", "step_many"):
        assert (f"rlmesh.{name} CLIENT", "rlmesh.episode INTERNAL") in found
        assert (f"rlmesh.{name} SERVER", f"rlmesh.{name} CLIENT") in found
    monkeypatch.setenv("RLMESH_TRACE_STEPS", "yes")
    with pytest.raises(InvalidArgumentError, match="RLMESH_TRACE_STEPS must be 0 or 1"):
        rlmesh.RemoteEnv(server.address)


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_each_sub_environment_has_its_episodes(
    mode: AutoresetMode, spans: InMemorySpanExporter
) -> None:
    with serving(make("CartPole-v1", 2, mode)) as server:
        with contextlib.closing(rlmesh.RemoteVectorEnv(server.address)) as envs:
            envs.reset(seed=0)
            lengths: list[list[int]] = [[], []]
            counts, resets = [0, 0], [False, False]
            for _ in range(60):
                _, _, terminated, truncated, _ = envs.step(np.ones(2, np.int64))
                for index in range(2):
                    counts[index] += not resets[index]
                    resets[index] = False
                    if terminated[index] or truncated[index]:
                        lengths[index].append(counts[index])
                        counts[index], resets[index] = 0, mode is AutoresetMode.NEXT_STEP
    ended: list[list[int]] = [[], []]
    for span in spans.get_finished_spans():
        each = seen(span).attributes
        if each.get("rlmesh.episode.end") == "terminated":
            assert each["rlmesh.episode.return"] == each["rlmesh.episode.length"]
            ended[each["rlmesh.env_index"]].append(each["rlmesh.episode.length"])
    assert ended == lengths
    assert len(ended[0]) > 2


def test_a_server_without_a_traced_client_begins_traces_of_its_own(
    spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(gymnasium.make("CartPole-v1")) as server:
        monkeypatch.setattr(trace, "_TRACER_PROVIDER", NoOpTracerProvider())
        with contextlib.closing(rlmesh.RemoteEnv(server.address)) as env:
            env.reset(seed=0)
            env.step(0)
    assert tree([seen(span) for span in spans.get_finished_spans()]) == [
        ("rlmesh.reset SERVER", "rlmesh.session SERVER"),
        ("rlmesh.session SERVER", ""),
    ]


def test_a_client_that_gets_no_session_says_so_in_its_span(spans: InMemorySpanExporter) -> None:
    with serving(gymnasium.make("CartPole-v1")) as server:
        with contextlib.closing(rlmesh.RemoteEnv(server.address)):
            with pytest.raises(EndpointBusyError):
                rlmesh.RemoteEnv(server.address)
            ours, theirs = sorted(
                (seen(span) for span in spans.get_finished_spans()), key=lambda each: each.name
            )
    assert (ours.name, ours.status) == ("rlmesh.session CLIENT", "ERROR")
    assert (theirs.name, theirs.parent) == ("rlmesh.session SERVER", ours.id)
    assert theirs.attributes["rpc.response.status_code"] == "BUSY"


def test_opentelemetry_is_not_imported_where_it_is_not_used() -> None:
    program = """
import sys, gymnasium, rlmesh
with rlmesh.EnvServer(gymnasium.make("CartPole-v1")) as server:
    with rlmesh.RemoteEnv(server.address) as env:
        env.reset()
assert not [name for name in sys.modules if name.startswith("opentelemetry")]
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


PARENT = f"00-{'a' * 32}-{'b' * 16}-01"


@pytest.mark.parametrize(
    "traceparent",
    [
        *("", "0", PARENT[:-1], PARENT + "-more", PARENT.upper(), PARENT.replace("a", "0")),
        *(PARENT.replace("b", "0"), "ff" + PARENT[2:], PARENT + " " * 512, "\0" * 55, "٠" * 55),
    ],
)
def test_a_parent_that_cannot_be_read_begins_another_trace(traceparent: str) -> None:
    found = received(session_pb2.TraceContext(traceparent=traceparent, tracestate="a=b"))
    assert not trace.get_current_span(found).get_span_context().is_valid


@pytest.mark.parametrize("tracestate", ["", "=", "a=b," * 200, "a=b,a=c", "é=1", "a=\0"])
def test_a_state_that_cannot_be_read_is_dropped(tracestate: str) -> None:
    found = received(session_pb2.TraceContext(traceparent=PARENT, tracestate=tracestate))
    parent = trace.get_current_span(found).get_span_context()
    assert (parent.trace_id, parent.span_id) == (int("a" * 32, 16), int("b" * 16, 16))
    assert not parent.trace_state


def test_a_state_crosses_with_its_parent() -> None:
    found = received(session_pb2.TraceContext(traceparent=PARENT, tracestate="vendor=1,other=2"))
    parent = trace.get_current_span(found).get_span_context()
    assert dict(parent.trace_state) == {"vendor": "1", "other": "2"}


def test_the_bytes_of_a_traced_call_are_these() -> None:
    request = session_pb2.SessionRequest(
        sequence=2,
        reset=session_pb2.ResetCall(),
        trace=session_pb2.TraceContext(traceparent="p", tracestate="s"),
    )
    assert request.SerializeToString() == bytes.fromhex("0902000000000000001a007a060a01701201 73")
