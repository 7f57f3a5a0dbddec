"""The dashboard and the alert rules ask for metrics and labels that servers show."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rlmesh_api.stability import METRICS
from rlmesh_api.v1 import session_pb2
from support.deployed import DEPLOY, REASON, documents

RULES = "prometheus/rlmesh.rules.yml"
# What Prometheus adds to each metric.
OF_PROMETHEUS = {"instance", "job"}


def _alerts() -> dict[str, str]:
    [rules] = documents(RULES)
    [group] = rules["groups"]
    for rule in group["rules"]:
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"].keys() == {"summary", "description"}
    return {rule["alert"]: rule["expr"] for rule in group["rules"]}


def _panels() -> dict[str, list[str]]:
    dashboard = json.loads((DEPLOY / "grafana/rlmesh.json").read_text())
    numbers = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(numbers)) == len(numbers)
    return {
        panel["title"]: [target["expr"] for target in panel["targets"]]
        for panel in dashboard["panels"]
    }


def _selectors(expression: str) -> list[Any]:
    """The selectors of an expression of PromQL."""
    promql = pytest.importorskip("promql_parser", reason=REASON)
    found: list[Any] = []

    def visit(node: Any) -> None:
        if isinstance(node, promql.VectorSelector):
            found.append(node)
        elif isinstance(node, promql.MatrixSelector):
            found.append(node.vector_selector)

    # Grafana puts a duration in that place.
    promql.walk(promql.parse(expression.replace("$__rate_interval", "1m")), visit)
    return found


def _check(expression: str) -> set[str]:
    """The metrics that an expression asks for, which exist and have the labels."""
    found: set[str] = set()
    for selector in _selectors(expression):
        if selector.name == "up":
            continue
        name = selector.name.removesuffix("_sum").removesuffix("_count")
        metric = METRICS[name]
        assert (name != selector.name) == (metric.kind == "summary"), selector.name
        for matcher in selector.matchers.matchers:
            assert matcher.name in {*metric.labels, *OF_PROMETHEUS}, selector
            if matcher.name == "outcome":
                assert set(matcher.value.split("|")) <= _outcomes(), selector
        found.add(name)
    return found


def _outcomes() -> set[str]:
    names = session_pb2.ErrorCode.keys()
    return {"ok", *(name.removeprefix("ERROR_CODE_").lower() for name in names)}


def test_every_alert_asks_for_what_there_is() -> None:
    alerts = _alerts()
    assert {"RlmeshStuck", "RlmeshServerFull", "RlmeshCrashLoop"} <= alerts.keys()
    for expression in alerts.values():
        _check(expression)
    with pytest.raises(KeyError):
        _check("rlmesh_call_second > 3")


def test_the_dashboard_shows_every_metric() -> None:
    shown: set[str] = set()
    for expressions in _panels().values():
        for expression in expressions:
            shown |= _check(expression)
    assert shown == METRICS.keys()


def test_prometheus_loads_the_rules() -> None:
    [config] = documents("prometheus/prometheus.yml")
    assert [DEPLOY / "prometheus" / name for name in config["rule_files"]] == [DEPLOY / RULES]
    [job] = config["scrape_configs"]
    assert f'job="{job["job_name"]}"' in _alerts()["RlmeshServerDown"]
