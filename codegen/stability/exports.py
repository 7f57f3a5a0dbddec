"""Whether api_metadata.json lists what the package exports, and what its signatures show."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import griffe

from codegen.metadata import Metadata, ModuleRow
from codegen.runtime._stability import Stability
from codegen.stability.source_package import Package, members
from codegen.stability.surface import Surface

_METADATA = "api_metadata.json"
_ORDER = list(Stability)
_LAZY = "_LAZY"


def export_problems(root: Path, package: Package, metadata: Metadata) -> Iterator[str]:
    """Where the list and the modules differ, one line each."""
    listed = {module.name for module in metadata.modules}
    for module in metadata.modules:
        found = package.find(module.name)
        if not isinstance(found, griffe.Module):
            yield (
                f"{module.name} is listed in {_METADATA}, and there is no such module; bring it "
                "back, or take it off the list"
            )
            continue
        exported = package.exports(module.name)
        if exported is None:
            yield f"{module.name} is listed in {_METADATA}, so it needs an `__all__`; write one"
            continue
        yield from _differences(module, found, set(exported), listed)
        yield from _unbound(root, package, found, exported, listed)
    yield from _unknown_members(package, metadata)


def _differences(
    module: ModuleRow, found: griffe.Module, exported: set[str], listed: set[str]
) -> Iterator[str]:
    rows = {row.name for row in module.exports}
    defined = {
        name
        for name, member in found.members.items()
        if isinstance(member, griffe.Class | griffe.Function) and not name.startswith("_")
    }
    for name in sorted((exported | defined) - rows):
        if f"{module.name}.{name}" not in listed:
            yield (
                f"{module.name}.{name} is exported and not listed; list it in {_METADATA} with a "
                "label, or take it off `__all__` and begin its name with an underscore"
            )
    for name in sorted(rows - exported):
        yield (
            f"{module.name}.{name} is listed in {_METADATA} and not exported; add it to `__all__`, "
            "or take it off the list"
        )


def _unknown_members(package: Package, metadata: Metadata) -> Iterator[str]:
    for name, row in metadata.exports().items():
        found = package.find(name)
        if found is None:
            yield (
                f"{name} is listed in {_METADATA} and stands for nothing; define or import it, or "
                "take it off the list"
            )
        known = members(found) if isinstance(found, griffe.Class) else {}
        for member in row.experimental:
            if member not in known:
                yield (
                    f"{name}.{member} is listed in {_METADATA} as Experimental, and {name} has no "
                    "such member; take it off the list"
                )


def _unbound(
    root: Path, package: Package, module: griffe.Module, exported: list[str], listed: set[str]
) -> Iterator[str]:
    """Exports that type checkers find and running programs do not."""
    path = Path(str(module.filepath))
    tree = ast.parse(path.read_bytes())
    imported = {
        alias.asname or alias.name: each.module or ""
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for each in node.body
        if isinstance(each, ast.ImportFrom)
        for alias in each.names
    }
    lazy = package.find(f"{module.path}.{_LAZY}")
    text = str(lazy.value) if isinstance(lazy, griffe.Attribute) else "{}"
    table: dict[str, str] = ast.literal_eval(text)
    for name in exported:
        home = imported.get(name)
        if home is None or f"{module.path}.{name}" in listed or table.get(name) == home:
            continue
        yield (
            f"{module.path}.{name}: type checkers find it in {home}, and programs "
            f"{'in ' + table[name] if name in table else 'nowhere'}; write "
            f'"{name}": "{home}" into {_LAZY} of {path.relative_to(root).as_posix()}'
        )


def exposure_problems(surface: Surface, metadata: Metadata) -> Iterator[str]:
    """Where something shows what is less stable, or what has no public name."""
    exports = metadata.exports()
    shows = {(shown.by, surface.name_of(shown.cls)): shown for shown in surface.shown}
    for (by, name), shown in shows.items():
        owner, _, member = by.rpartition(".")
        if member == "__init__" and any(
            other.startswith(f"{owner}.") and other != by and shown_name == name
            for other, shown_name in shows
        ):
            # A field and its parameter are reported once.
            continue
        row = exports.get(name)
        if row is not None and row.stability is not None:
            if _ORDER.index(row.stability) > _ORDER.index(shown.label):
                yield (
                    f"{by} is {shown.label} and shows {name}, which is {row.stability}; show "
                    f"something else, raise that label, or list the member under `experimental` in "
                    f"{_METADATA}"
                )
        elif name.startswith("rlmesh.") and not shown.cls.name.startswith("_"):
            yield (
                f"{by} is public and shows {name}, which is not; list that in {_METADATA}, "
                "or show something else"
            )
