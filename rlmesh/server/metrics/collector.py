"""Reads what a server has counted at the moment it is asked, and gives it to prometheus-client."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector

from rlmesh.server.sessions.manager import SessionManager
from rlmesh.server.sessions.totals import CallTotals, Totals
from rlmesh_api.stability import METRICS
from rlmesh_api.v1 import env_service_pb2


class ServerCollector(Collector):
    """The metrics of one server. Any thread may collect them.

    `_lock` guards `_highest`.

    Args:
        manager: The session manager, which adds up what the sessions do.
        strangers: How many calls showed no valid token so far.
        models: What the models are doing; None: the server serves an environment.
    """

    def __init__(
        self,
        manager: SessionManager,
        strangers: Callable[[], int],
        models: Callable[[], Iterable[env_service_pb2.ModelStatus]] | None,
    ) -> None:
        self._manager = manager
        self._strangers = strangers
        self._models = models
        self._endpoint = "environment" if models is None else "model"
        self._lock = threading.Lock()
        self._highest: dict[tuple[str, str], int] = {}

    def describe(self) -> Iterator[Metric]:
        """The metrics without their values, as a registry asks for them."""
        for name, metric in METRICS.items():
            if self._endpoint in metric.endpoints:
                yield _family(name)

    def collect(self) -> Iterator[Metric]:
        """The metrics at this moment."""
        manager = self._manager
        totals = manager.totals()
        yield from self._calls(totals)
        yield _gauge("rlmesh_sessions", len(manager.sessions()))
        yield _gauge("rlmesh_session_capacity", manager.capacity)
        refused = dict(totals.refused)
        strangers = self._strangers()
        if strangers:
            refused["unauthenticated"] = strangers
        yield _counter("rlmesh_refused_total", refused)
        yield _counter("rlmesh_resumes_total", {None: totals.resumes})
        yield _counter("rlmesh_deviations_total", dict(totals.deviations))
        yield from self._times(totals)
        if self._models is None:
            yield _counter("rlmesh_episodes_total", {None: totals.episodes})
            yield _summary("rlmesh_episode_return", totals.episodes, totals.returns)
            yield _summary("rlmesh_episode_length", totals.episodes, totals.lengths)
        else:
            yield from self._of_models(totals, self._models())

    def _calls(self, totals: Totals) -> Iterator[Metric]:
        seconds, calls = _empty_summary("rlmesh_call_seconds"), _empty_counter("rlmesh_calls_total")
        for kind, done in totals.calls.items():
            count = done.count
            parts = {"server": done.server, "environment": done.environment, "queue": done.queue}
            for part, value in parts.items():
                # A part that a kind of call or of endpoint has not, or that only a worker knows.
                if value or part == "server":
                    seconds.add_metric([kind, part], count, value)
            for outcome, number in done.outcomes.items():
                calls.add_metric([kind, outcome], self._monotone(kind, outcome, number))
        yield seconds
        yield calls

    def _monotone(self, kind: str, outcome: str, count: int) -> int:
        """A count that never falls: a call that fails just now may be missing for a moment."""
        with self._lock:
            highest = max(count, self._highest.get((kind, outcome), 0))
            self._highest[kind, outcome] = highest
        return highest

    def _times(self, totals: Totals) -> Iterator[Metric]:
        now = time.monotonic()
        last = GaugeMetricFamily(*_described("rlmesh_last_call_timestamp_seconds"))
        if totals.last_used:
            last.add_metric([], time.time() - (now - totals.last_used))
        yield last
        running = [slot.thread.running for slot in self._manager.slots()]
        yield _gauge(
            "rlmesh_busy_seconds",
            max((max(0.0, now - call.since) for call in running if call is not None), default=0.0),
        )

    @staticmethod
    def _of_models(
        totals: Totals, models: Iterable[env_service_pb2.ModelStatus]
    ) -> Iterator[Metric]:
        predictions = totals.calls.get("predict", CallTotals())
        yield _summary("rlmesh_batch_size", predictions.count, predictions.batch_sizes)
        queue = GaugeMetricFamily(*_described("rlmesh_queue_length"), labels=["model"])
        version = GaugeMetricFamily(*_described("rlmesh_model_version"), labels=["model"])
        for model in models:
            queue.add_metric([model.name], model.queue_length)
            version.add_metric([model.name], model.version)
        yield queue
        yield version


def _described(name: str) -> tuple[str, str]:
    return name, METRICS[name].meaning


def _family(name: str) -> Metric:
    """A metric without values, as the table of metrics says."""
    metric = METRICS[name]
    families = {
        "counter": CounterMetricFamily,
        "gauge": GaugeMetricFamily,
        "summary": SummaryMetricFamily,
    }
    family: Metric = families[metric.kind](name, metric.meaning, labels=metric.labels)
    return family


def _empty_summary(name: str) -> SummaryMetricFamily:
    return SummaryMetricFamily(*_described(name), labels=METRICS[name].labels)


def _empty_counter(name: str) -> CounterMetricFamily:
    return CounterMetricFamily(*_described(name), labels=METRICS[name].labels)


def _gauge(name: str, value: float) -> Metric:
    return GaugeMetricFamily(*_described(name), value=value)


def _counter(name: str, values: dict[str, int] | dict[None, int]) -> Metric:
    family = _empty_counter(name)
    for label, value in values.items():
        family.add_metric([] if label is None else [label], value)
    return family


def _summary(name: str, count: int, total: float) -> Metric:
    return SummaryMetricFamily(*_described(name), count_value=count, sum_value=total)
