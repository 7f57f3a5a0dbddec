"""The package as its source says it: what every public name stands for.

The source is read and never run, so that this works on any copy, with any dependency missing, and
sees what type checkers see.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import griffe

from codegen.errors import SourceError

_FOLDERS = {"rlmesh": "rlmesh", "rlmesh_api": "generated/rlmesh_api"}

Member: TypeAlias = griffe.Object | griffe.Alias


class Package:
    """The hand-written and the generated package, as griffe reads them.

    Raises:
        SourceError: A package is missing, or a file of it is no Python.
    """

    def __init__(self, root: Path) -> None:
        root = root.resolve()
        self._loader = griffe.GriffeLoader(
            search_paths=[root, root / "generated"], allow_inspection=False
        )
        # What griffe cannot read it skips, with a message in its log.
        with griffe.logger.disable():
            for name, folder in _FOLDERS.items():
                try:
                    # Else the folder that the program runs in comes first.
                    self._loader.load(name, try_relative_path=False)
                except (ImportError, griffe.LoadingError):
                    _refuse_what_is_no_python(root, folder)
                    raise SourceError(
                        [f"{folder}/: expected the package {name}, which is not there"]
                    ) from None
            self._loader.resolve_aliases()
        read = {Path(str(module.filepath)) for module in self._modules()}
        for folder in _FOLDERS.values():
            if not read.issuperset((root / folder).rglob("*.py")):
                _refuse_what_is_no_python(root, folder)

    def find(self, path: str) -> griffe.Object | None:
        """What a dotted path stands for, imports followed; None where it stands for nothing."""
        try:
            found: Member = self._loader.modules_collection.get_member(path)
            return found.final_target if isinstance(found, griffe.Alias) else found
        except (KeyError, griffe.AliasResolutionError, griffe.CyclicAliasError):
            return None

    def exports(self, module: str) -> list[str] | None:
        """The names in a module's `__all__`; None where it has none, or where there is no such."""
        found = self.find(module)
        if not isinstance(found, griffe.Module) or found.exports is None:
            return None
        return [str(name) for name in found.exports]

    def _modules(self) -> Iterator[griffe.Module]:
        pending = [self._loader.modules_collection.members[name] for name in _FOLDERS]
        while pending:
            module = pending.pop()
            yield module
            # An import of a module is an alias of it, and may lead back to where it stands.
            pending += [each for each in module.members.values() if isinstance(each, griffe.Module)]


def _refuse_what_is_no_python(root: Path, folder: str) -> None:
    for path in sorted((root / folder).rglob("*.py")):
        place = path.relative_to(root).as_posix()
        try:
            ast.parse(path.read_bytes())
        except SyntaxError as error:
            line = f"{place}:{error.lineno}: expected Python, got: {error.msg}"
            raise SourceError([line]) from None
        except ValueError as error:
            raise SourceError([f"{place}: expected Python, got: {error}"]) from None


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
