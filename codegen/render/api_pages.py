"""Renders the pages of the public exports: the list of all of them, and a reference of each module.

A reference page holds directives of Sphinx's autodoc, so that signatures and docstrings are read
from the package when the site is built. docs/_extensions/stability_badges.py adds the labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from codegen.metadata import CommandRow, ExportRow, ModuleRow
from codegen.render import markdown as md
from codegen.runtime._stability import Export, Stability

_SOURCE = "api_metadata.json"
_DIRECTIVES = {
    "class": "autoclass",
    "exception": "autoexception",
    "function": "autofunction",
    "constant": "autodata",
}
# The bases of a class are its own affair; those of an error say what `except` catches.
_OPTIONS = {"class": "\n   :members:", "exception": "\n   :members:\n   :show-inheritance:"}


def reference_path(module: str) -> str:
    """The reference page of a module, under generated/docs/."""
    return f"api/{module}.md"


def render_api_page(
    modules: Sequence[ModuleRow],
    exports: Mapping[str, Sequence[Export]],
    commands: Sequence[CommandRow] = (),
) -> str:
    """Every public module with its exports, and the commands."""
    rows = [[md.code(row.name), md.badge(row.stability), md.cell(row.summary)] for row in commands]
    listed = ["## Commands", md.table(["Command", "Stability", "Summary"], rows)] if rows else []
    pages = "\n".join(reference_path(module.name) for module in modules)
    return md.page(
        "Modules and exports",
        _SOURCE,
        (
            "What may be imported. A name that is not listed here is internal. Each module has a "
            "page with signatures, arguments and errors."
        ),
        md.labels(row.stability for module in modules for row in exports[module.name]),
        *(render_module(module, exports[module.name]) for module in modules),
        *listed,
        f"```{{toctree}}\n:hidden:\n\n{pages}\n```",
    )


def render_module(module: ModuleRow, exports: Sequence[Export]) -> str:
    """The section of one module in the list."""
    rows = [
        [
            md.code(shown.name),
            shown.kind,
            md.badge(shown.stability),
            _summary(row, shown),
        ]
        for row, shown in zip(module.exports, exports, strict=True)
    ]
    page = reference_path(module.name)
    return "\n\n".join(
        [
            f"## `{module.name}`",
            (
                f"{md.badge(module.stability)} {md.escaped(module.summary)} "
                f"[Signatures of `{module.name}`]({page})."
            ),
            md.table(["Name", "Kind", "Stability", "Summary"], rows),
        ]
    )


def render_reference_page(module: ModuleRow, exports: Sequence[Export]) -> str:
    """The signatures of one module, for Sphinx to fill in."""
    entries = (
        _directive(module.name, row, shown)
        for row, shown in zip(module.exports, exports, strict=True)
    )
    return md.page(
        f"`{module.name}`",
        _SOURCE,
        f"{md.badge(module.stability)} {md.escaped(module.summary)}",
        *(f"```{{eval-rst}}\n{entry}\n```" for entry in entries),
    )


def _directive(module: str, row: ExportRow, shown: Export) -> str:
    name = f"{module}.{row.name}"
    if row.alias_of is not None:
        # A class has one entry, so that a link to it leads to one place.
        role = "py:exc" if shown.kind == "exception" else "py:class"
        return f"``{name}`` is the same as :{role}:`{row.alias_of}`."
    return f".. {_DIRECTIVES[shown.kind]}:: {name}{_OPTIONS.get(shown.kind, '')}"


def _summary(row: ExportRow, shown: Export) -> str:
    same = "" if row.alias_of is None else f" The same as `{row.alias_of}`."
    members = ", ".join(md.code(member) for member in row.experimental)
    less = f" {Stability.EXPERIMENTAL}: {members}." if members else ""
    return md.cell(shown.summary) + same + less
