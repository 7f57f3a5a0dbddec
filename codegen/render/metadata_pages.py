"""Renders the pages that come from the metadata: spaces, conformance and exports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from codegen.metadata import CommandRow, ExportRow, FindingRow, ModuleRow, PolicyRow
from codegen.render import markdown as md
from codegen.runtime._stability import Export, SpaceSupport, Stability

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


def render_api_page(
    modules: Sequence[ModuleRow],
    exports: Mapping[str, Sequence[Export]],
    commands: Sequence[CommandRow] = (),
) -> str:
    """Every public module with its exports, and the commands."""
    rows = [[md.code(row.name), md.badge(row.stability), md.cell(row.summary)] for row in commands]
    listed = ["## Commands", md.table(["Command", "Stability", "Summary"], rows)] if rows else []
    return md.page(
        "Modules and exports",
        _SOURCE,
        "What may be imported. A name that is not listed here is internal.",
        md.labels(row.stability for module in modules for row in exports[module.name]),
        *(render_module(module, exports[module.name]) for module in modules),
        *listed,
    )


def render_module(module: ModuleRow, exports: Sequence[Export]) -> str:
    """The section of one module."""
    rows = [
        [
            md.code(shown.name),
            shown.kind,
            md.badge(shown.stability),
            _summary(row, shown),
        ]
        for row, shown in zip(module.exports, exports, strict=True)
    ]
    return "\n\n".join(
        [
            f"## `{module.name}`",
            f"{md.badge(module.stability)} {md.escaped(module.summary)}",
            md.table(["Name", "Kind", "Stability", "Summary"], rows),
        ]
    )


def _summary(row: ExportRow, shown: Export) -> str:
    same = "" if row.alias_of is None else f" The same as `{row.alias_of}`."
    members = ", ".join(md.code(member) for member in row.experimental)
    less = f" {Stability.EXPERIMENTAL}: {members}." if members else ""
    return md.cell(shown.summary) + same + less
