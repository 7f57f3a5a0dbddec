"""Reads `api_metadata.json`: which spaces, modules and exports there are."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from codegen.errors import SourceError
from codegen.runtime._stability import Export, SpaceSupport, Stability

_LONGEST_MESSAGE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRow:
    """One export as it is written, an alias with neither kind, label nor summary of its own."""

    name: str
    kind: str = ""
    stability: Stability | None = None
    summary: str = ""
    refers_to: tuple[str, ...] = ()
    experimental: tuple[str, ...] = ()
    alias_of: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleRow:
    """One public module."""

    name: str
    stability: Stability
    summary: str
    exports: tuple[ExportRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRow:
    """One word of `validation=`."""

    word: str
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingRow:
    """One kind of what is found in a value that its space does not hold."""

    kind: str
    decided_by: str
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """All of it, in the order in which it is written."""

    spaces: tuple[SpaceSupport, ...]
    policies: tuple[PolicyRow, ...] = ()
    findings: tuple[FindingRow, ...] = ()
    modules: tuple[ModuleRow, ...]

    def exports(self) -> dict[str, ExportRow]:
        """Every export by its full name, `rlmesh.spaces.Box`."""
        return {
            f"{module.name}.{export.name}": export
            for module in self.modules
            for export in module.exports
        }

    def published(self) -> dict[str, tuple[Export, ...]]:
        """The exports of every module, an alias with what it stands for; the rules hold."""
        rows = self.exports()
        return {
            module.name: tuple(_published(row, rows) for row in module.exports)
            for module in self.modules
        }


def load_metadata(path: Path, schema_path: Path) -> Metadata:
    """Read the file and check it against its JSON Schema.

    Raises:
        SourceError: It is damaged; one line for each place.
    """
    data, schema = read_json(path, path.name), read_json(schema_path, f"schema/{schema_path.name}")
    validator = Draft202012Validator(schema)
    errors: list[Any] = list(
        validator.iter_errors(data)  # pyright: ignore[reportUnknownMemberType] - partial stubs
    )
    if errors:
        raise SourceError(
            sorted(
                f"{path.name}: {error.json_path}: {_one_line(error.message)}" for error in errors
            )
        )
    return parse_metadata(data)


def parse_metadata(data: Mapping[str, Any]) -> Metadata:
    """The metadata that valid JSON data describes."""
    conformance = data.get("conformance", {"policies": (), "findings": ()})
    return Metadata(
        spaces=tuple(
            SpaceSupport(
                gymnasium=row["gymnasium"],
                rlmesh=row["rlmesh"],
                kind=row["arm"],
                stability=Stability(row["stability"]),
                notes=row["notes"],
            )
            for row in data["spaces"]
        ),
        policies=tuple(PolicyRow(**row) for row in conformance["policies"]),
        findings=tuple(FindingRow(**row) for row in conformance["findings"]),
        modules=tuple(
            ModuleRow(
                name=module["name"],
                stability=Stability(module["stability"]),
                summary=module["summary"],
                exports=tuple(_export(row) for row in module["exports"]),
            )
            for module in data["modules"]
        ),
    )


def _export(row: Mapping[str, Any]) -> ExportRow:
    if "alias_of" in row:
        return ExportRow(name=row["name"], alias_of=row["alias_of"])
    return ExportRow(
        name=row["name"],
        kind=row["kind"],
        stability=Stability(row["stability"]),
        summary=row["summary"],
        refers_to=tuple(row.get("refers_to", ())),
        experimental=tuple(row.get("experimental", ())),
    )


def _published(row: ExportRow, rows: Mapping[str, ExportRow]) -> Export:
    source = row if row.alias_of is None else rows[row.alias_of]
    if source.stability is None:
        raise ValueError(f"{row.name}: an alias of an alias, which the rules refuse")
    return Export(
        name=row.name, kind=source.kind, stability=source.stability, summary=source.summary
    )


def read_json(path: Path, name: str) -> Any:
    """Read a file of JSON.

    Args:
        path: The file.
        name: What messages call it.

    Raises:
        SourceError: It cannot be read, is no JSON, or has an object with a key twice.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_unique)
    except OSError as error:
        raise SourceError([f"{name}: it cannot be read: {error.strerror}"]) from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        raise SourceError([f"{name}: {place}: {error.msg}"]) from None
    except ValueError as error:
        raise SourceError([f"{name}: {error}"]) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        twice = next(_repeated(key for key, _ in pairs))
        raise ValueError(f"the key {twice!r} stands twice in one object; remove one")
    return data


def _repeated(keys: Iterator[str]) -> Iterator[str]:
    seen: set[str] = set()
    for key in keys:
        if key in seen:
            yield key
        seen.add(key)


def _one_line(message: str) -> str:
    line = " ".join(message.split())
    return line if len(line) <= _LONGEST_MESSAGE else f"{line[:_LONGEST_MESSAGE]}..."
