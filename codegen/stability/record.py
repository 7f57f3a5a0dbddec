"""The frozen record under baseline/: the stubs, the schema, and which breaks were meant."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from jsonschema import Draft202012Validator

from codegen.errors import SourceError
from codegen.formatting import format_python
from codegen.metadata import read_json
from codegen.runtime._stability import Stability
from codegen.stability.breaks import Break
from codegen.stability.stubs import Stub, read_stub

FOLDER = "baseline"
STUBS = "baseline/api"
RECORD = "baseline/record.json"
_SCHEMA = "schema"

_SHAPE = {
    "type": "object",
    "required": ["version", "breaks", "files"],
    "additionalProperties": False,
    "properties": {
        "version": {"type": "string"},
        "files": {"type": "object", "additionalProperties": {"type": "string"}},
        "breaks": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "stability", "what"],
                "additionalProperties": False,
                "properties": {
                    "name": {"type": "string"},
                    "stability": {"enum": ["Stable", "Experimental"]},
                    "what": {"type": "string"},
                },
            },
        },
    },
}


@dataclass(frozen=True, slots=True)
class Frozen:
    """What was frozen.

    Attributes:
        version: The version that it was frozen in.
        breaks: What was broken on purpose while the version was that one.
        stubs: The surface, by module.
    """

    version: str
    breaks: tuple[Break, ...]
    stubs: Mapping[str, Stub]


def read_frozen(root: Path) -> Frozen:
    """Read the record.

    Raises:
        SourceError: It is missing or damaged, or was edited by hand.
    """
    if not (root / RECORD).is_file():
        raise SourceError([f"{RECORD}: expected what `make baseline` writes, got nothing; run it"])
    data = read_json(root / RECORD, RECORD)
    for error in Draft202012Validator(_SHAPE).iter_errors(data):  # pyright: ignore[reportUnknownMemberType] - partial stubs
        message = " ".join(error.message.split())
        raise SourceError([f"{RECORD}: {error.json_path}: {message}; `make baseline` writes it"])
    paths = {path.stem: path for path in sorted((root / STUBS).glob("*.pyi"))}
    stubs: dict[str, Stub] = {}
    for name, path in paths.items():
        place = path.relative_to(root).as_posix()
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SourceError([f"{place}: expected a stub of Python, got: {error}"]) from None
        stubs[name] = read_stub(name, text, place)
    _check_digests(root, data["files"])
    breaks = (
        Break(each["name"], Stability(each["stability"]), each["what"]) for each in data["breaks"]
    )
    return Frozen(data["version"], tuple(breaks), stubs)


def write_frozen(
    root: Path, version: str, modules: Mapping[str, str], breaks: Iterable[Break]
) -> None:
    """Write the record again."""
    schema = {
        f"{FOLDER}/{path.relative_to(root).as_posix()}": path.read_bytes()
        for path in sorted((root / _SCHEMA).rglob("*.proto"))
    }
    stubs = {
        place: format_python(text, place).encode()
        for place, text in ((f"{STUBS}/{name}.pyi", text) for name, text in modules.items())
    }
    texts = schema | stubs
    for place in _present(root) - texts.keys():
        (root / place).unlink()
    for place, text in texts.items():
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_bytes(text)
    data = {
        "version": version,
        "breaks": [
            {"name": each.name, "stability": each.label, "what": each.what.partition(";")[0]}
            for each in breaks
        ],
        "files": {place: _digest(texts[place]) for place in sorted(texts)},
    }
    (root / RECORD).write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


def _check_digests(root: Path, files: Mapping[str, str]) -> None:
    present = _present(root)
    problems = [
        f"{place}: expected the file that `make baseline` wrote, got none; restore it"
        for place in sorted(files.keys() - present)
    ]
    problems += [
        f"{place}: expected only what `make baseline` writes; restore it, or run that"
        for place in sorted(present)
        if place not in files or _digest((root / place).read_bytes()) != files[place]
    ]
    if problems:
        raise SourceError(problems)


def _present(root: Path) -> set[str]:
    paths = (*(root / FOLDER).rglob("*.pyi"), *(root / FOLDER).rglob("*.proto"))
    return {path.relative_to(root).as_posix() for path in paths}


def _digest(text: bytes) -> str:
    return hashlib.sha256(text.replace(b"\r\n", b"\n")).hexdigest()[:16]
