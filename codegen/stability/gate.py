"""The gate itself: every part, on any copy of the repository."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import griffe

from codegen.errors import SourceError
from codegen.generate import generate, load
from codegen.metadata import Metadata
from codegen.stability import record
from codegen.stability.breaks import Break
from codegen.stability.changelog import CHANGELOG, how_to_record, untold
from codegen.stability.cli_surface import MODULE, Commands, spelled
from codegen.stability.comparison import breaks_between
from codegen.stability.exports import export_problems, exposure_problems
from codegen.stability.source_package import Package
from codegen.stability.space_table import space_problems
from codegen.stability.stubs import Stubs, read_stub
from codegen.stability.surface import Surface
from codegen.stability.wire import wire_breaks
from codegen.tree import compare

_METADATA = "api_metadata.json"
_MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the gate.

    Attributes:
        reads: What it looks at, from the root of the repository.
        problems: What it finds, one line each.
    """

    reads: tuple[str, ...]
    problems: Callable[[Path], list[str]]


def check(root: Path, parts: Iterable[Part] | None = None) -> list[str]:
    """What breaks a promise, one line each; nothing where all are kept.

    Args:
        root: The repository.
        parts: What to look at; None: everything.
    """
    lines: list[str] = []
    for part in PARTS if parts is None else parts:
        try:
            lines += part.problems(root)
        except SourceError as error:
            lines += error.problems
    return list(dict.fromkeys(lines))


def freeze(root: Path) -> list[str]:
    """Make the promise that what is now stays.

    Returns:
        Why it cannot be made, one line each: nothing was written then.
    """
    try:
        return _freeze(root)
    except SourceError as error:
        return list(error.problems)


def _freeze(root: Path) -> list[str]:
    if problems := _generated(root):
        return problems
    now = _Now(root)
    commands = Commands(root, now.metadata)
    if problems := [*now.problems, *commands.problems]:
        return problems
    modules = now.surface.modules | ({MODULE: commands.stub} if commands.stub else {})
    meant: list[Break] = []
    if (root / record.RECORD).exists():
        frozen = record.read_frozen(root)
        # What one release has announced is not announced again.
        meant = list(frozen.breaks) if frozen.version == now.version else []
        found = (*now.breaks(frozen), *_of_commands(now.metadata, commands, frozen))
        meant += [each for each in (*found, *wire_breaks(root)) if each not in meant]
    if problems := untold(root, meant):
        return problems
    record.write_frozen(root, now.version, modules, meant)
    return []


class _Now:
    """The package as it is."""

    def __init__(self, root: Path) -> None:
        self.metadata = load(root)
        package = Package(root)
        self.surface = Surface(package, self.metadata)
        self.version = _version(package)
        self.problems = [
            *export_problems(root, package, self.metadata),
            *exposure_problems(self.surface, self.metadata),
            *space_problems(package, self.metadata),
        ]

    def breaks(self, frozen: record.Frozen) -> list[Break]:
        """What breaks what was frozen, without what another problem already reports."""
        stubs = {name: read_stub(name, text, name) for name, text in self.surface.modules.items()}
        labels = {
            name: row.stability
            for name, row in self.metadata.exports().items()
            if row.stability is not None
        }
        labels |= {module.name: module.stability for module in self.metadata.modules}
        missing = set(self.surface.missing)
        return [
            each
            for each in breaks_between(_without(frozen.stubs), stubs, labels)
            if each.name not in missing
        ]


def _generated(root: Path) -> list[str]:
    found = compare(generate(root), root / "generated")
    paths = [f"generated/{path}" for path in (*found.stale, *found.missing, *found.surplus)]
    if not paths:
        return []
    named = ", ".join(paths[:_MOST_NAMED])
    rest = f" and {len(paths) - _MOST_NAMED} more" if len(paths) > _MOST_NAMED else ""
    advice = "change those and never generated/, run `make generate`, and commit what it writes"
    return [f"{named}{rest}: not what schema/ and {_METADATA} give; {advice}"]


def _package(root: Path) -> list[str]:
    now = _Now(root)
    try:
        frozen = record.read_frozen(root)
        announced = frozen.breaks if frozen.version == now.version else ()
        return [*now.problems, *_lines(now.breaks(frozen)), *untold(root, announced)]
    except SourceError as error:
        return [*now.problems, *error.problems]


def _commands(root: Path) -> list[str]:
    metadata = load(root)
    commands = Commands(root, metadata)
    return [
        *commands.problems,
        *_lines(_of_commands(metadata, commands, record.read_frozen(root))),
    ]


def _of_commands(metadata: Metadata, commands: Commands, frozen: record.Frozen) -> list[Break]:
    """What breaks the commands that were frozen."""
    if MODULE not in frozen.stubs:
        return []
    stubs = {MODULE: read_stub(MODULE, commands.stub, MODULE)} if commands.stub else {}
    found = breaks_between({MODULE: frozen.stubs[MODULE]}, stubs, {})
    named = [spelled(each, metadata) for each in found]
    return [each for each in named if each.name not in commands.missing]


def _without(stubs: Stubs) -> Stubs:
    """The stubs of modules."""
    return {name: stub for name, stub in stubs.items() if name != MODULE}


def _wire(root: Path) -> list[str]:
    return _lines(wire_breaks(root))


def _lines(breaks: Iterable[Break]) -> list[str]:
    return [
        f"{each.name} ({each.label}): {each.what}. {how_to_record(each.name, each.label)}"
        for each in breaks
    ]


def _version(package: Package) -> str:
    found = package.find("rlmesh.__version__")
    return str(found.value).strip("\"'") if isinstance(found, griffe.Attribute) else ""


_LISTED = (_METADATA, "schema/api_metadata.schema.json")

PARTS = (
    Part(("schema", _METADATA, "generated"), _generated),
    Part(("rlmesh", "generated/rlmesh_api", record.FOLDER, CHANGELOG, *_LISTED), _package),
    Part(("rlmesh/_cli", f"{record.STUBS}/{MODULE}.pyi", record.RECORD, *_LISTED), _commands),
    Part(("schema", record.FOLDER, "buf.yaml"), _wire),
)
