"""Renders the pages of spaces, of conformance and of metrics, which come from the metadata."""

from __future__ import annotations

from collections.abc import Sequence

from codegen.metadata import FindingRow, PolicyRow
from codegen.render import markdown as md
from codegen.runtime._stability import Metric, SpaceSupport

_SOURCE = "api_metadata.json"


def render_spaces_page(spaces: Sequence[SpaceSupport]) -> str:
    """The table of spaces."""
    rows = [
        [
            md.code(row.gymnasium),
            "none" if row.rlmesh is None else md.code(row.rlmesh),
            md.badge(row.stability),
            md.cell(row.notes),
        ]
        for row in spaces
    ]
    return md.page(
        "Spaces",
        _SOURCE,
        "Which of Gymnasium's spaces RLMesh carries. A space that is converted to RLMesh and back "
        "equals the original; what cannot be kept is refused.",
        md.table(["Gymnasium space", "RLMesh space", "Stability", "Notes"], rows),
        md.labels(row.stability for row in spaces),
    )


def render_conformance_page(policies: Sequence[PolicyRow], findings: Sequence[FindingRow]) -> str:
    """What is found in values, and what decides about it."""
    return md.page(
        "Conformance",
        _SOURCE,
        "What the serving side does about observations and actions that their space does not hold.",
        "## Findings",
        md.table(
            ["Kind", "Decided by", "What it is"],
            [[md.code(row.kind), row.decided_by, md.cell(row.meaning)] for row in findings],
        ),
        "## Policies",
        md.table(
            ["`validation=`", "What it does about a finding that is left to it"],
            [[md.code(row.word), md.cell(row.meaning)] for row in policies],
        ),
    )


def render_metrics_page(metrics: Sequence[Metric]) -> str:
    """The table of metrics."""
    rows = [
        [
            md.code(row.name),
            row.kind,
            ", ".join(map(md.code, row.labels)) or "none",
            ", ".join(row.endpoints),
            md.badge(row.stability),
            md.cell(row.meaning),
        ]
        for row in metrics
    ]
    return md.page(
        "The metrics",
        _SOURCE,
        "What a server with `metrics=` shows to Prometheus. The labels say how stable the name of "
        "a metric and the names of its labels are. A summary has a `_sum` and a `_count`.",
        md.table(["Metric", "Kind", "Labels", "Of", "Stability", "What it is"], rows),
        md.labels(row.stability for row in metrics),
    )
