"""Reads `api_metadata.json`: which spaces, modules and exports there are."""

from __future__ import annotations

import functools
import json
import json.scanner
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from referencing.exceptions import Unresolvable

from codegen.errors import SourceError
from codegen.runtime._stability import Export, Metric, SpaceSupport, Stability

_LONGEST_MESSAGE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRow:
    """One export as it is written, an alias without kind, label and summary."""

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
class CommandRow:
    """One command; `object` is where that of a program stands, None for a part of a program."""

    name: str
    stability: Stability
    summary: str
    object: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """All of it, in the order in which it is written."""

    spaces: tuple[SpaceSupport, ...]
    policies: tuple[PolicyRow, ...] = ()
    findings: tuple[FindingRow, ...] = ()
    modules: tuple[ModuleRow, ...]
    commands: tuple[CommandRow, ...] = ()
    metrics: tuple[Metric, ...] = ()

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
    schema_name = f"schema/{schema_path.name}"
    data, schema = read_json(path, path.name), read_json(schema_path, schema_name)
    try:
        _check_schema(json.dumps(schema))
        validator = Draft202012Validator(schema)
        errors: list[Any] = list(
            validator.iter_errors(data)  # pyright: ignore[reportUnknownMemberType] - partial stubs
        )
    except SchemaError as error:
        problem = f"{schema_name}: {error.json_path}: {_one_line(error.message)}"
        raise SourceError([f"{problem}; a JSON Schema is expected"]) from None
    except Unresolvable as error:
        problem = f"{schema_name}: a $ref leads to {error.ref}"
        raise SourceError([f"{problem}; expected a definition that is there"]) from None
    if errors:
        raise SourceError(
            sorted(f"{path.name}: {error.json_path}: {_expectation(error)}" for error in errors)
        )
    try:
        return parse_metadata(data)
    except (KeyError, TypeError, ValueError) as error:
        # Whatever the schema lets pass is read as it says.
        problem = f"{schema_name}: it allows what the generator cannot read"
        raise SourceError([f"{problem}, {error!r}; restore it"]) from None


# Each part of the gate loads the metadata, and the schema stays the same.
@functools.lru_cache(maxsize=2)
def _check_schema(schema: str) -> None:
    Draft202012Validator.check_schema(json.loads(schema))


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
        commands=tuple(
            CommandRow(**{**row, "stability": Stability(row["stability"])})
            for row in data.get("commands", ())
        ),
        metrics=tuple(
            Metric(
                name=row["name"],
                kind=row["kind"],
                labels=tuple(row["labels"]),
                endpoints=tuple(row["endpoints"]),
                stability=Stability(row["stability"]),
                meaning=row["meaning"],
            )
            for row in data.get("metrics", ())
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
        return _Decoder().decode(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SourceError([f"{name}: it cannot be read: {error.strerror}"]) from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        raise SourceError([f"{name}: {place}: {error.msg}"]) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise SourceError([f"{name}: line {line}: expected UTF-8, got {error.reason}"]) from None
    except RecursionError:
        raise SourceError([f"{name}: expected less than a hundred nested values"]) from None


class _Decoder(json.JSONDecoder):
    """Reads JSON, and refuses an object with a key twice at the line where it begins."""

    def __init__(self) -> None:
        super().__init__(object_pairs_hook=list)
        parse: Any = self.parse_object

        def parse_object(state: tuple[str, int], *rest: Any) -> tuple[dict[str, Any], int]:
            pairs, end = parse(state, *rest)
            keys = [key for key, _ in pairs]
            for place, key in enumerate(keys):
                if key in keys[:place]:
                    text, begin = state
                    message = f"the key {key!r} stands twice in one object; remove one"
                    raise json.JSONDecodeError(message, text, begin - 1)
            return dict(pairs), end

        self.parse_object: Any = parse_object
        # The one in C does not ask; the stubs do not know the one in Python.
        scanner: Any = json.scanner
        self.scan_once: Any = scanner.py_make_scanner(self)


def _expectation(error: Any) -> str:
    """What is expected, in words where the message only quotes a pattern."""
    message = _one_line(error.message)
    words = error.schema.get("description", "") if error.validator == "pattern" else ""
    return f"{message}: expected: {words}" if words else message


def _one_line(message: str) -> str:
    line = " ".join(message.split())
    return line if len(line) <= _LONGEST_MESSAGE else f"{line[:_LONGEST_MESSAGE]}..."
