"""The package as its source says it: what every public name stands for.

The source is read and never run, so that this works on any copy, with any dependency missing, and
sees what type checkers see.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import griffe

from codegen.errors import SourceError

_FOLDERS = {"rlmesh": "rlmesh", "rlmesh_api": "generated/rlmesh_api"}

Member: TypeAlias = griffe.Object | griffe.Alias


class Package:
    """The hand-written and the generated package, as griffe reads them.

    A module is read once something in it is asked for: what users see leads to half of them.

    Raises:
        SourceError: A package is missing, or a file that is read is no Python. Every method raises
            it, too.
    """

    def __init__(self, root: Path) -> None:
        self._modules = _Modules(root.resolve())

    def find(self, path: str) -> griffe.Object | None:
        """What a dotted path stands for, imports followed; None where it stands for nothing."""
        try:
            found: Member = self._modules.get_member(path)
            return found.final_target if isinstance(found, griffe.Alias) else found
        except (KeyError, griffe.AliasResolutionError, griffe.CyclicAliasError):
            return None

    def origin(self, path: str) -> str:
        """The dotted path that imports lead to, which may be one of another package."""
        passed: set[str] = set()
        while path not in passed:
            passed.add(path)
            try:
                found: Member = self._modules.get_member(path)
            except (KeyError, griffe.AliasResolutionError, griffe.CyclicAliasError):
                break
            if isinstance(found, griffe.Alias):
                path = found.target_path
        return path

    def exports(self, module: str) -> list[str] | None:
        """The names in a module's `__all__`; None where it has none, or where there is no such."""
        found = self.find(module)
        if not isinstance(found, griffe.Module) or found.exports is None:
            return None
        return [str(name) for name in found.exports]


class _Modules(griffe.ModulesCollection):
    """The modules of the packages, each read when griffe first looks something up in it.

    griffe resolves every import and every base of a class through the two methods of this class.
    """

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._root = root
        self._lines = griffe.LinesCollection()
        self._extensions = griffe.Extensions()
        # It gives dataclasses their `__init__`.
        self._dataclasses = griffe.DataclassesExtension()
        self._complete: set[tuple[str, str]] = set()
        for name, folder in _FOLDERS.items():
            file = root / folder / "__init__.py"
            if not file.is_file():
                raise SourceError([f"{folder}/: expected the package {name}, which is not there"])
            module = self._read(name, file, None)
            self.set_member(name, module)
            self._dataclasses.on_package(pkg=module)

    def get_member(self, key: str | Sequence[str]) -> Any:
        self._read_on_the_way_to(key)
        return super().get_member(key)

    def __getitem__(self, key: str | Sequence[str]) -> Any:
        self._read_on_the_way_to(key)
        return super().__getitem__(key)

    def _read_on_the_way_to(self, key: str | Sequence[str]) -> None:
        first, *rest = key.split(".") if isinstance(key, str) else key
        found: Any = self.members.get(first)
        for name in rest:
            if isinstance(found, griffe.Alias):
                found = found.final_target
            if not isinstance(found, griffe.Module):
                return
            self._read_submodule(found, name)
            found = found.members.get(name)

    def _read_submodule(self, parent: griffe.Module, name: str) -> None:
        file = Path(str(parent.filepath))
        if file.name != "__init__.py" or (parent.path, name) in self._complete:
            return
        self._complete.add((parent.path, name))
        for path in (file.with_name(name) / "__init__.py", file.with_name(f"{name}.py")):
            if path.is_file():
                module = self._read(name, path, parent)
                parent.set_member(name, module)
                self._dataclasses.on_package(pkg=module)
                return

    def _read(self, name: str, path: Path, parent: griffe.Module | None) -> griffe.Module:
        try:
            code = path.read_text(encoding="utf-8")
            self._lines[path] = code.splitlines(keepends=False)
            return griffe.visit(
                name,
                path,
                code,
                extensions=self._extensions,
                parent=parent,
                lines_collection=self._lines,
                modules_collection=self,
            )
        except (SyntaxError, ValueError) as error:
            place = path.relative_to(self._root).as_posix()
            if isinstance(error, SyntaxError):
                line = f"{place}:{error.lineno}: expected Python, got: {error.msg}"
            else:
                line = f"{place}: expected Python, got: {error}"
            raise SourceError([line]) from None


def family(cls: griffe.Class) -> list[griffe.Class]:
    """A class and those that it derives from, as far as they stand in the packages."""
    return [cls, *cls.mro()]


def members(cls: griffe.Class) -> dict[str, griffe.Object]:
    """What a class has and inherits within the packages, the nearest definition of each name."""
    found: dict[str, griffe.Object] = {}
    for each in family(cls):
        for name, member in each.members.items():
            if isinstance(member, griffe.Object):
                found.setdefault(name, member)
    return found
