"""The steps of one flow as a table of plain text."""

from __future__ import annotations

from collections.abc import Sequence

from rlmesh.adapters.compiling import CompiledStep
from rlmesh.adapters.faults import brief
from rlmesh.adapters.wire_bytes import bytes_of
from rlmesh.codec.infos.type_guards import is_row
from rlmesh.spaces.paths import ROOT, child_place
from rlmesh.spaces.summary import numbers_of
from rlmesh_api.contract import DictSpace, Space, TupleSpace

__all__ = ["table"]

_HEADER: tuple[str, ...] = ("", "step", "at", "with", "gives", "bytes")
_SIDE = "on"
_WIDEST = 60


def table(
    flow: str,
    space: Space,
    steps: Sequence[CompiledStep],
    ends: tuple[str, str],
    sides: Sequence[str] | None,
) -> str:
    """The table.

    Args:
        flow: What the values are.
        space: The space of the values before all steps.
        steps: The steps.
        ends: Who gives the values, and who takes them.
        sides: Where each of all steps is applied, which is a column; None: there is none.
    """
    source, target = ends
    rows = [_HEADER, *_rows(("", source, "$", ""), _leaves(space), space)]
    for each in steps:
        before, space = space, each.space
        place = ROOT + each.place.split("_space", 1)[1]
        cells = (str(each.number), each.step.name, place, _options(each))
        rows += _rows(cells, _changed(before, space), space)
    if sides is not None:
        placed = {str(each.number): sides[each.number - 1] for each in steps}
        rows = [(row[0], placed.get(row[0], ""), *row[1:]) for row in rows]
        rows[0] = ("", _SIDE, *_HEADER[1:])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([f"{flow}: {source} -> {target}", *lines])


def _rows(cells: tuple[str, ...], gives: list[str], space: Space) -> list[tuple[str, ...]]:
    """One row, and one more for each further leaf."""
    first, *others = gives
    more = [("", "", "", "", text, "") for text in others]
    return [(*cells, first, str(bytes_of(space))), *more]


def _options(each: CompiledStep) -> str:
    data = each.step.operation.to_dict()
    shown = [f"{key}={_shown(value)}" for key, value in data.items() if key != "kind"]
    text = ", ".join(part for part in shown if not part.endswith("=None"))
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 3]}..."


def _shown(value: object) -> str:
    if is_row(value) and value and all(isinstance(item, float) for item in value):
        return numbers_of(value)
    return str(value)


def _changed(before: Space, after: Space) -> list[str]:
    """The leaves that are new or other than before, and the keys that are gone."""
    old, new = dict(_walk(before, ROOT)), dict(_walk(after, ROOT))
    parts = [f"{place}: {text}" for place, text in new.items() if old.get(place) != text]
    gone = [place for place in old if place not in new]
    if gone:
        parts.append(f"without {', '.join(gone)}")
    return parts or ["the same"]


def _leaves(space: Space) -> list[str]:
    return [f"{place}: {text}" for place, text in _walk(space, ROOT)] or ["nothing"]


def _walk(space: Space, place: str) -> list[tuple[str, str]]:
    if isinstance(space, DictSpace):
        children = [(child_place(place, each.key), each.space) for each in space.entries]
    elif isinstance(space, TupleSpace):
        children = [(child_place(place, i), child) for i, child in enumerate(space.spaces)]
    else:
        return [(place, brief(space))]
    return [leaf for where, child in children for leaf in _walk(child, where)]
