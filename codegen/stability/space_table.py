"""Whether the table of spaces says what the code does."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import griffe

from codegen.metadata import Metadata
from codegen.rules import SPACES_MODULE
from codegen.stability.source_package import Package, members

_METADATA = "api_metadata.json"
_CONVERTERS = "rlmesh.spaces.from_gymnasium._CONVERTERS"
"""What turns each of Gymnasium's spaces into one of RLMesh's, by the name of its class."""


def space_problems(package: Package, metadata: Metadata) -> Iterator[str]:
    """Where the table and the code differ, one line each."""
    rows = {row.rlmesh: row for row in metadata.spaces if row.rlmesh is not None}
    for name, row in rows.items():
        kind = _kind(package, name)
        if kind is not None and kind != row.kind:
            yield (
                f"{_METADATA}: the space {row.gymnasium} is the arm {row.kind}, and "
                f"{SPACES_MODULE}.{name} is of the kind {kind}; correct the one or the other"
            )
    for name in package.exports(SPACES_MODULE) or ():
        kind = _kind(package, name)
        if kind is not None and name not in rows:
            yield (
                f"{SPACES_MODULE}.{name} is a space of the kind {kind}, and no row of the table of "
                f"spaces in {_METADATA} names it; add one"
            )
    converted = _converted(package)
    if converted is None:
        yield f"{_CONVERTERS}: expected a table of converters there, by the names of the spaces"
        return
    supported = {row.gymnasium for row in metadata.spaces if row.rlmesh is not None}
    for name in sorted(supported - converted):
        yield (
            f"{_METADATA}: the space {name} is supported, and {_CONVERTERS} lacks it; add its "
            "converter, or mark the space as not supported"
        )
    for name in sorted(converted - supported):
        yield (
            f"{_CONVERTERS} converts {name}, which the table of spaces in {_METADATA} does not "
            "support; correct its row, or take the converter away"
        )


def _kind(package: Package, name: str) -> str | None:
    """The kind of a space class; None for what is no space."""
    found = package.find(f"{SPACES_MODULE}.{name}")
    kind = members(found).get("kind") if isinstance(found, griffe.Class) else None
    if not isinstance(kind, griffe.Attribute) or not isinstance(kind.value, str):
        return None
    return str(ast.literal_eval(kind.value))


def _converted(package: Package) -> set[str] | None:
    table = package.find(_CONVERTERS)
    if not isinstance(table, griffe.Attribute) or not isinstance(table.value, griffe.ExprDict):
        return None
    return {str(ast.literal_eval(str(key))) for key in table.value.keys if key is not None}
