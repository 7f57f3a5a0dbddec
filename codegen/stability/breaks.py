"""What a break is, and how several that one change makes are reported once."""

from __future__ import annotations

from dataclasses import dataclass, replace

from codegen.runtime._stability import Stability

MOVED = "moved"
"""What happened to each of the parameters that changed places; reported once for all of them."""


@dataclass(frozen=True, slots=True)
class Break:
    """Something that worked before and does not now.

    Attributes:
        name: The thing, `rlmesh.RemoteEnv.reset`.
        label: How stable it was.
        what: What happened to it, and what to do about it.
        detail: The parameter that it happened to.
    """

    name: str
    label: Stability
    what: str
    detail: str = ""


def told_once(found: list[Break]) -> list[Break]:
    """One line for each change: the field and not its parameter, one line for what moved."""
    things = {each.name for each in found}
    touched = {each.name for each in found if each.detail and each.what != MOVED}
    moved: dict[str, list[str]] = {}
    kept: list[Break] = []
    for each in found:
        if each.name.endswith(".__init__"):
            field = each.name.removesuffix("__init__") + each.detail
            if each.detail and field in things:
                continue
        if each.what == MOVED:
            moved.setdefault(each.name, []).append(each.detail)
            if len(moved[each.name]) > 1 or each.name in touched:
                continue
        if each not in kept:
            kept.append(each)
    return [
        replace(
            each,
            what=f"the parameters {_listed(moved[each.name])} stand in another order; restore it",
        )
        if each.what == MOVED
        else each
        for each in kept
    ]


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def merged(found: list[Break]) -> list[Break]:
    """One line for what happened to a member that several classes have from one."""
    groups: dict[tuple[str, str], list[Break]] = {}
    for each in found:
        groups.setdefault((each.name.rpartition(".")[2], each.what), []).append(each)
    return [_one(group) for group in groups.values()]


def _one(group: list[Break]) -> Break:
    """A group under the name that promises most."""
    first = next((each for each in group if each.label is Stability.STABLE), group[0])
    others = ", ".join(each.name for each in group if each is not first)
    return replace(first, what=f"{first.what} (so it is with {others})") if others else first
