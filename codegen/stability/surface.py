"""What users see of the package, as stubs: one text for each public module.

A class is written with everything that it has, inherited or its own, so that moving a method to a
base is no change, and with every public ancestor among its bases.
"""

from __future__ import annotations

import griffe

from codegen.metadata import ExportRow, Metadata
from codegen.runtime._stability import Stability
from codegen.stability.source_package import Package
from codegen.stability.writer import Shown, Writer

HEAD = "# Written by `make baseline`; do not edit.\n"

_MEANT = frozenset(Stability) - {Stability.INTERNAL}


class Surface:
    """What users see of one version of the package.

    Attributes:
        modules: The stub of every public module, by name.
        missing: Exports that are listed and stand for nothing.
    """

    def __init__(self, package: Package, metadata: Metadata) -> None:
        self._package = package
        self._metadata = metadata
        self.missing: list[str] = []
        self._public = self._public_names()
        self._writer = Writer(package, self._public)
        self.modules = self._listed_modules()
        self.modules |= self._reached_modules()

    @property
    def shown(self) -> list[Shown]:
        """Which classes are shown, and by what."""
        return self._writer.shown

    def name_of(self, cls: griffe.Class) -> str:
        """The public name of a class, or else where it is defined."""
        return self._writer.name_of(cls)

    def _public_names(self) -> dict[str, str]:
        """The first name under which each thing is listed, by where it is defined."""
        names: dict[str, str] = {}
        for name, row in self._metadata.exports().items():
            found = self._package.find(name)
            if found is not None and row.alias_of is None:
                names.setdefault(found.path, name)
        return names

    def _listed_modules(self) -> dict[str, str]:
        listed = {module.name for module in self._metadata.modules}
        texts: dict[str, str] = {}
        for module in self._metadata.modules:
            if module.stability not in _MEANT:
                continue
            self._writer.annotations.type_variables = {}
            parts = [
                text
                for row in module.exports
                if (text := self._export(f"{module.name}.{row.name}", row))
            ]
            parts += [
                f"{name} = {module.name}.{name}\n"
                for name in sorted(self._package.exports(module.name) or ())
                if f"{module.name}.{name}" in listed
            ]
            texts[module.name] = self._module(module.stability, parts)
        return texts

    def _reached_modules(self) -> dict[str, str]:
        """What public things show and no module lists, with the label of what shows it."""
        parts: dict[str, dict[str, str]] = {}
        homes: dict[str, Stability] = {}
        self._writer.annotations.type_variables = {}
        done: set[str] = set()
        while found := [each for each in self.shown if self._is_unlisted(each.cls, done)]:
            # The stable ones first: what they show is stable too.
            first = min(found, key=lambda each: list(Stability).index(each.label))
            done.add(first.cls.path)
            home, _, name = first.cls.path.rpartition(".")
            text = self._writer.cls(first.cls.path, first.cls, first.label, frozenset())
            parts.setdefault(home, {})[name] = text
            homes.setdefault(home, first.label)
        return {
            home: self._module(homes[home], [parts[home][name] for name in sorted(parts[home])])
            for home in sorted(parts)
        }

    def _is_unlisted(self, cls: griffe.Class, done: set[str]) -> bool:
        # Of the hand-written package only what is listed may be shown, which is checked elsewhere.
        return (
            cls.path.startswith("rlmesh_api.")
            and cls.path not in self._public
            and cls.path not in done
            and not cls.name.startswith("_")
        )

    def _module(self, label: Stability, parts: list[str]) -> str:
        variables = [
            f"{name} = {made}\n"
            for name, made in sorted(self._writer.annotations.type_variables.items())
        ]
        head = f"{HEAD}__stability__ = {label.value}\n"
        return "\n".join([head, *(["".join(variables)] if variables else []), *parts])

    def _export(self, name: str, row: ExportRow) -> str:
        own = name.rpartition(".")[2]
        if row.alias_of is not None:
            return f"{own} = {row.alias_of}\n" if self._package.find(name) else self._miss(name)
        if row.stability not in _MEANT or row.stability is None:
            return ""
        found = self._package.find(name)
        match found:
            case griffe.Class():
                if (first := self._public[found.path]) != name:
                    return f"{own} = {first}\n"
                experimental = frozenset(row.experimental)
                return self._writer.cls(name, found, row.stability, experimental)
            case griffe.Function():
                return self._writer.function(name, found, row.stability)
            case griffe.Attribute():
                return self._writer.constant(name, found, row.stability)
            case _:
                return self._miss(name)

    def _miss(self, name: str) -> str:
        self.missing.append(name)
        return ""
